"""The networks. They know no files, no videos and no training."""

from talkhead.config import CodebookConfig
from talkhead.models.codebook import CodebookModel


def build(config: CodebookConfig) -> CodebookModel:
    """An untrained model of the configuration's family."""
    return CodebookModel(config)
