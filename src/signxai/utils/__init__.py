"""What the original package's scripts use beside its wrappers: see ``signxai.utils.utils``."""
