"""Settings all tests share."""

import os

import torch

os.environ["MPLBACKEND"] = "Agg"  # no window, whatever the machine
torch.set_num_threads(1)  # the networks are too small for more to pay
