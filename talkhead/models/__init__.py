"""The networks. They know no files, no videos and no training."""

from typing import TypeAlias

from talkhead.config import CodebookConfig, FommConfig, McnetConfig, ModelConfig
from talkhead.errors import TalkheadError
from talkhead.models.codebook import CodebookModel
from talkhead.models.fomm import FommModel
from talkhead.models.mcnet import McnetModel
from talkhead.models.sizes import check_sizes
from talkhead.models.tpsmm import TpsmmModel

# What drawing and training need of each: `detect`, `encode_source`, `render`, `render_parts`,
# `reconstruct` and `training_arguments`.
Network: TypeAlias = CodebookModel | McnetModel | FommModel | TpsmmModel

__all__ = ["Network", "build"]


def build(config: ModelConfig) -> Network:
    """An untrained model of the configuration's family.

    Raises TalkheadError when sizes in it contradict each other.
    """
    check_sizes(config)
    try:
        return _build(config)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise TalkheadError(f"a model of these sizes cannot be built: {error}") from error


def _build(config: ModelConfig) -> Network:
    if isinstance(config, CodebookConfig):
        return CodebookModel(config)
    if isinstance(config, McnetConfig):
        return McnetModel(config)
    if isinstance(config, FommConfig):
        return FommModel(config)
    return TpsmmModel(config)
