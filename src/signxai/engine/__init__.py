"""Carries relevance through a network: the forward pass is watched operation by operation, the backward pass follows LRP."""
