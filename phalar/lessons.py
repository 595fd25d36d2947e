"""What a reader of the course checks a layer or an answer of his own with, by a short name."""

from phalar.study.lessons import check, check_equivariance

__all__ = ["check", "check_equivariance"]
