"""Method names: the grammar, and what each name means in words; no torch is needed."""
