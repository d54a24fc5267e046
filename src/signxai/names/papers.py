"""The papers that the catalog's records cite."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PAPERS", "Paper"]

_RESOLVERS = {"doi": "https://doi.org/", "arXiv": "https://arxiv.org/abs/"}


@dataclass(frozen=True)
class Paper:
    """A paper: how a text cites it, its bibliographic entry, and where it is found (``doi:...`` or ``arXiv:...``).

    >>> print(BACH_2015.citation, BACH_2015.link)
    Bach et al. 2015 https://doi.org/10.1371/journal.pone.0130140
    """

    citation: str
    entry: str
    identifier: str = ""

    def __str__(self) -> str:
        return f"{self.entry} {self.identifier}".rstrip()

    @property
    def link(self) -> str:
        """The address that the identifier stands for; "" without one."""
        kind, _, number = self.identifier.partition(":")
        return _RESOLVERS[kind] + number if kind in _RESOLVERS else ""


ACHTIBAT_2024 = Paper(
    "Achtibat et al. 2024",
    "R. Achtibat, S. M. V. Hatefi, M. Dreyer, A. Jain, T. Wiegand, S. Lapuschkin, W. Samek: AttnLRP: Attention-Aware Layer-Wise "
    "Relevance Propagation for Transformers. ICML 2024.",
    "arXiv:2402.05602",
)
ADEBAYO_2018 = Paper(
    "Adebayo et al. 2018",
    "J. Adebayo, J. Gilmer, I. Goodfellow, B. Kim: Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter "
    "Values. ICLR 2018, workshop track.",
    "arXiv:1810.03307",
)
ADEBAYO_2018_SANITY_CHECKS = Paper(
    "Adebayo et al. 2018, Sanity Checks",
    "J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim: Sanity Checks for Saliency Maps. NeurIPS 2018.",
    "arXiv:1810.03292",
)
ALBER_2019 = Paper(
    "Alber et al. 2019",
    "M. Alber, S. Lapuschkin, P. Seegerer, M. Hägele, K. T. Schütt, G. Montavon, W. Samek, K.-R. Müller, S. Dähne, P.-J. Kindermans: "
    "iNNvestigate Neural Networks! Journal of Machine Learning Research 20(93), 2019.",
    "arXiv:1808.04260",
)
ALI_2022 = Paper(
    "Ali et al. 2022",
    "A. Ali, T. Schnake, O. Eberle, G. Montavon, K.-R. Müller, L. Wolf: XAI for Transformers: Better Explanations through "
    "Conservative Propagation. ICML 2022, PMLR 162, 435-451.",
    "arXiv:2202.07304",
)
ANDERS_2021 = Paper(
    "Anders et al. 2021",
    "C. J. Anders, D. Neumann, W. Samek, K.-R. Müller, S. Lapuschkin: Software for Dataset-wide XAI: From Local Explanations to Global "
    "Insights with Zennit, CoRelAy, and ViRelAy. 2021.",
    "arXiv:2106.13200",
)
ANDEOL_2021 = Paper(
    "Andéol et al. 2021",
    "L. Andéol, Y. Kawakami, Y. Wada, T. Kanamori, K.-R. Müller, G. Montavon: Learning Domain Invariant Representations by Joint "
    "Wasserstein Distance Minimization. 2021.",
    "arXiv:2106.04923",
)
BACH_2015 = Paper(
    "Bach et al. 2015",
    "S. Bach, A. Binder, G. Montavon, F. Klauschen, K.-R. Müller, W. Samek: On Pixel-Wise Explanations for Non-Linear Classifier "
    "Decisions by Layer-Wise Relevance Propagation. PLoS ONE 10(7), e0130140, 2015.",
    "doi:10.1371/journal.pone.0130140",
)
GUMPFER_2023 = Paper(
    "Gumpfer et al. 2023",
    "N. Gumpfer, J. Prim, T. Keller, B. Seeger, M. Guckert, J. Hannig: SIGNed explanations: Unveiling relevant features by reducing "
    "bias. Information Fusion 99, 101883, 2023.",
    "doi:10.1016/j.inffus.2023.101883",
)
KOHLBRENNER_2020 = Paper(
    "Kohlbrenner et al. 2020",
    "M. Kohlbrenner, A. Bauer, S. Nakajima, A. Binder, W. Samek, S. Lapuschkin: Towards Best Practice in Explaining Neural Network "
    "Decisions with LRP. IJCNN 2020.",
    "arXiv:1910.09840",
)
LAPUSCHKIN_2019 = Paper(
    "Lapuschkin et al. 2019",
    "S. Lapuschkin, S. Wäldchen, A. Binder, G. Montavon, W. Samek, K.-R. Müller: Unmasking Clever Hans Predictors and Assessing What "
    "Machines Really Learn. Nature Communications 10, 1096, 2019.",
    "doi:10.1038/s41467-019-08987-4",
)
MONTAVON_2017 = Paper(
    "Montavon et al. 2017",
    "G. Montavon, S. Lapuschkin, A. Binder, W. Samek, K.-R. Müller: Explaining Nonlinear Classification Decisions with Deep Taylor "
    "Decomposition. Pattern Recognition 65, 211-222, 2017.",
    "doi:10.1016/j.patcog.2016.11.008",
)
MONTAVON_2019 = Paper(
    "Montavon et al. 2019",
    "G. Montavon, A. Binder, S. Lapuschkin, W. Samek, K.-R. Müller: Layer-Wise Relevance Propagation: An Overview. In: Explainable AI, "
    "LNCS 11700, 193-209, 2019.",
    "doi:10.1007/978-3-030-28954-6_10",
)
SELVARAJU_2017 = Paper(
    "Selvaraju et al. 2017",
    "R. R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh, D. Batra: Grad-CAM: Visual Explanations from Deep Networks via "
    "Gradient-Based Localization. ICCV 2017.",
    "doi:10.1109/ICCV.2017.74",
)
SHRIKUMAR_2016 = Paper(
    "Shrikumar et al. 2016",
    "A. Shrikumar, P. Greenside, A. Shcherbina, A. Kundaje: Not Just a Black Box: Learning Important Features Through Propagating "
    "Activation Differences. 2016.",
    "arXiv:1605.01713",
)
SIMONYAN_2014 = Paper(
    "Simonyan et al. 2014",
    "K. Simonyan, A. Vedaldi, A. Zisserman: Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency "
    "Maps. ICLR 2014, workshop track.",
    "arXiv:1312.6034",
)
SMILKOV_2017 = Paper(
    "Smilkov et al. 2017",
    "D. Smilkov, N. Thorat, B. Kim, F. Viégas, M. Wattenberg: SmoothGrad: Removing Noise by Adding Noise. 2017.",
    "arXiv:1706.03825",
)
SPRINGENBERG_2015 = Paper(
    "Springenberg et al. 2015",
    "J. T. Springenberg, A. Dosovitskiy, T. Brox, M. Riedmiller: Striving for Simplicity: The All Convolutional Net. ICLR 2015, "
    "workshop track.",
    "arXiv:1412.6806",
)
SUNDARARAJAN_2017 = Paper(
    "Sundararajan et al. 2017",
    "M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks. ICML 2017.",
    "arXiv:1703.01365",
)
ZEILER_2014 = Paper(
    "Zeiler & Fergus 2014",
    "M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks. ECCV 2014, LNCS 8689, 818-833.",
    "doi:10.1007/978-3-319-10590-1_53",
)

PAPERS = tuple(value for value in list(globals().values()) if isinstance(value, Paper))
"""All of them, by author and year."""
