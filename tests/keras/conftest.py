"""Keras runs on torch here, which has to be said before it is imported."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

collect_ignore_glob = ["scripts/*"]  # they are run by test_original_scripts.py
