"""The study of where the relevance of ventricular beats lies: its methods, measures, numbers and report; ``localize.py`` runs it."""
