"""Layers in a row inside an `nn.Sequential`, carried out as one node."""
