"""Settings all tests share."""

import matplotlib
import torch

matplotlib.use("Agg")  # no window, whatever the machine
torch.set_num_threads(1)  # the networks are too small for more to pay
