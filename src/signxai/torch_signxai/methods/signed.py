"""SIGN: the import path of the original package."""

from signxai.methods.sign import calculate_sign_mu

__all__ = ["calculate_sign_mu"]
