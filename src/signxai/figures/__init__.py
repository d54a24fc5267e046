"""Figures of relevance maps: images, signals, ECGs on paper, spectra. Plotting computes no relevance."""
