"""The papers that the metrics and the checks of certificates come from."""

from __future__ import annotations

from signxai.names.papers import ADEBAYO_2018_SANITY_CHECKS as ADEBAYO_2018
from signxai.names.papers import BACH_2015, SUNDARARAJAN_2017, Paper

__all__ = ["ADEBAYO_2018", "BACH_2015", "METRIC_PAPERS", "SUNDARARAJAN_2017"]

ANCONA_2018 = Paper(
    "Ancona et al. 2018",
    "M. Ancona, E. Ceolini, C. Öztireli, M. Gross: Towards Better Understanding of Gradient-Based Attribution Methods for Deep Neural "
    "Networks. ICLR 2018.",
    "arXiv:1711.06104",
)
ARRAS_2022 = Paper(
    "Arras et al. 2022",
    "L. Arras, A. Osman, W. Samek: CLEVR-XAI: A Benchmark Dataset for the Ground Truth Evaluation of Neural Network Explanations. "
    "Information Fusion 81, 2022.",
    "arXiv:2003.07258",
)
BHATT_2020 = Paper(
    "Bhatt et al. 2020",
    "U. Bhatt, A. Weller, J. M. F. Moura: Evaluating and Aggregating Feature-Based Model Explanations. IJCAI 2020.",
    "arXiv:2005.00631",
)
BLUECHER_2024 = Paper(
    "Bluecher et al. 2024",
    "S. Blücher, J. Vielhaben, N. Strodthoff: Decoupling Pixel Flipping and Occlusion Strategy for Consistent XAI Benchmarks. TMLR 2024.",
    "arXiv:2401.06654",
)
CHALASANI_2020 = Paper(
    "Chalasani et al. 2020",
    "P. Chalasani, J. Chen, A. R. Chowdhury, S. Jha, X. Wu: Concise Explanations of Neural Networks Using Adversarial Training. ICML 2020.",
    "arXiv:1810.06583",
)
FAWCETT_2006 = Paper(
    "Fawcett 2006",
    "T. Fawcett: An Introduction to ROC Analysis. Pattern Recognition Letters 27(8), 2006.",
    "doi:10.1016/j.patrec.2005.10.010",
)
HEDSTROEM_2024 = Paper(
    "Hedstroem et al. 2024",
    "A. Hedström, L. Weber, S. Lapuschkin, M. Höhne: Sanity Checks Revisited: An Exploration to Repair the Model Parameter Randomisation "
    "Test. 2024.",
    "arXiv:2401.06465",
)
NGUYEN_2020 = Paper(
    "Nguyen and Martinez 2020",
    "A. Nguyen, M. R. Martínez: On Quantitative Aspects of Model Interpretability. 2020.",
    "arXiv:2007.07584",
)
PETSIUK_2018 = Paper(
    "Petsiuk et al. 2018",
    "V. Petsiuk, A. Das, K. Saenko: RISE: Randomized Input Sampling for Explanation of Black-Box Models. BMVC 2018.",
    "arXiv:1806.07421",
)
RONG_2022 = Paper(
    "Rong et al. 2022",
    "Y. Rong, T. Leemann, V. Borisov, G. Kasneci, E. Kasneci: A Consistent and Efficient Evaluation Strategy for Attribution Methods. "
    "ICML 2022.",
    "arXiv:2202.00449",
)
SAMEK_2017 = Paper(
    "Samek et al. 2017",
    "W. Samek, A. Binder, G. Montavon, S. Lapuschkin, K.-R. Müller: Evaluating the Visualization of What a Deep Neural Network Has "
    "Learned. IEEE TNNLS 28(11), 2017.",
    "arXiv:1509.06321",
)
SIXT_2020 = Paper(
    "Sixt et al. 2020",
    "L. Sixt, M. Granz, T. Landgraf: When Explanations Lie: Why Many Modified BP Attributions Fail. ICML 2020.",
    "arXiv:1912.09818",
)
THEINER_2021 = Paper(
    "Theiner et al. 2021",
    "J. Theiner, E. Müller-Budack, R. Ewerth: Interpretable Semantic Photo Geolocation. WACV 2022.",
    "arXiv:2104.14995",
)
WANG_2004 = Paper(
    "Wang et al. 2004",
    "Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: Image Quality Assessment: From Error Visibility to Structural Similarity. IEEE "
    "Transactions on Image Processing 13(4), 2004.",
    "doi:10.1109/TIP.2003.819861",
)
YEH_2019 = Paper(
    "Yeh et al. 2019",
    "C.-K. Yeh, C.-Y. Hsieh, A. S. Suggala, D. I. Inouye, P. Ravikumar: On the (In)fidelity and Sensitivity of Explanations. NeurIPS 2019.",
    "arXiv:1901.09392",
)
ZHANG_2018 = Paper(
    "Zhang et al. 2018",
    "J. Zhang, S. A. Bargal, Z. Lin, J. Brandt, X. Shen, S. Sclaroff: Top-Down Neural Attention by Excitation Backprop. IJCV 126, 2018.",
    "arXiv:1608.00507",
)

METRIC_PAPERS = tuple(sorted({value for value in list(globals().values()) if isinstance(value, Paper)}, key=lambda paper: paper.citation))
