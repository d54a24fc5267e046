"""Maps of an ECG network by the original's calls: one sample (time, leads), without a batch axis, Grad-CAM by the layer's name."""

import numpy as np
from keras.models import load_model

from signxai.methods.wrappers import calculate_relevancemap, calculate_relevancemaps
from signxai.utils.utils import normalize_heatmap, remove_softmax

model = remove_softmax(load_model("ecg.keras"))
x = np.load("ecg.npy")

R1 = calculate_relevancemap("lrpsign_epsilon_0_1_std_x", x[0], model, neuron_selection=1)
R2 = calculate_relevancemap("grad_cam_timeseries", x[0], model, neuron_selection=1, last_conv_layer_name="last_conv")
R3 = calculate_relevancemaps("gradient_x_sign_mu", x, model, neuron_selection=1, mu=0.5)
shown = [normalize_heatmap(R) for R in (R1, R2, R3[1])]
