"""Time series: their relevance over frequencies, and figures that a cardiologist can read."""
