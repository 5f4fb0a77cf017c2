"""Configurations: presets, JSON and back, contradictions."""

import json
from dataclasses import replace

import pytest
import torch

from talkhead.config import (
    PRESETS,
    FommConfig,
    McnetConfig,
    MemoryConfig,
    from_dict,
    preset,
    to_dict,
)
from talkhead.errors import TalkheadError
from talkhead.models import build
from talkhead.models.sizes import check_sizes
from talkhead.training.recipes.overrides import apply_settings
from talkhead.training.recipes.recipe import LandmarkStart, Recipe


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name):
    text = json.dumps(to_dict(PRESETS[name]))
    assert from_dict(json.loads(text)) == PRESETS[name]


def test_a_memory_or_none_survives_json():
    for memory in (None, MemoryConfig(scales=(0, 1, 2, 3), size=16)):
        config = McnetConfig(memory=memory)
        assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_unknown_setting_is_named():
    values = to_dict(preset("mcnet"))
    values["memory"]["depth"] = 3
    with pytest.raises(TalkheadError, match="MemoryConfig has no setting 'depth'"):
        from_dict(values)


def test_unknown_family_lists_the_known_ones():
    with pytest.raises(TalkheadError, match=r"'dagan'.*codebook, mcnet, fomm, tpsmm"):
        from_dict({"family": "dagan"})


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(TalkheadError, match="mcnet-mcm-nosplit"):
        preset("mcnet2")


def test_memory_on_a_scale_that_does_not_exist_is_refused():
    with pytest.raises(TalkheadError, match="there are 4, from 0"):
        check_sizes(McnetConfig(memory=MemoryConfig(scales=(4,))))
    with pytest.raises(TalkheadError, match="there are 1, from 0"):
        check_sizes(replace(FommConfig(), memory=MemoryConfig()))


@pytest.mark.parametrize("size", [16, 32, 64])
def test_the_memory_is_set_from_the_command_line(size):
    settings = [f"model.memory.size={size}", "model.memory.scales=[0,1,2,3]"]
    config, _ = apply_settings(preset("mcnet"), Recipe("any"), settings)
    with torch.device("meta"):
        memory = build(config).memory
    assert memory.bank.shape == (1, 512, size, size)
    assert [port.project.in_channels for port in memory.ports.values()] == [256, 128, 64, 32]
    config, _ = apply_settings(config, Recipe("any"), ["model.memory.scales=[1]"])
    with torch.device("meta"):
        assert list(build(config).memory.ports) == ["1"]


def test_noise_while_drawing_is_off_until_it_is_asked_for():
    assert not any(
        getattr(config, "memory", None) and config.memory.noise for config in PRESETS.values()
    )
    config, _ = apply_settings(preset("mcnet"), Recipe("any"), ["model.memory.noise=true"])
    assert config.memory.noise


@pytest.mark.parametrize("setting", ["size=0", "channels=0", "scales=[]"])
def test_a_memory_that_holds_nothing_is_refused(setting):
    with pytest.raises(TalkheadError, match=r"which is not (int|tuple.*) of 1 to"):
        apply_settings(preset("mcnet"), Recipe("any"), [f"model.memory.{setting}"])


def test_ablations_differ_from_the_full_model_as_their_names_say():
    full = preset("mcnet")
    assert replace(full, memory=None) == preset("mcnet-baseline")
    assert replace(full, memory=replace(full.memory, identity=False)) == preset("mcnet-mcm")
    unsplit = replace(full.memory, identity=False, split=False)
    assert replace(full, memory=unsplit) == preset("mcnet-mcm-nosplit")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("recipe.adversarial=null", None),
        ("recipe.schedule=cosine", "cosine"),
        ("recipe.milestones=[0.5, 1]", (0.5, 1.0)),
        ('recipe.clip=[["keypoint_detector", 1]]', (("keypoint_detector", 1.0),)),
        ('recipe.landmark_start={"until": 1}', LandmarkStart(until=1.0)),
    ],
)
def test_a_setting_is_read_as_what_it_is_declared(setting, value):
    _, recipe = apply_settings(preset("fomm"), Recipe("test"), [setting])
    found = getattr(recipe, setting.partition("=")[0].removeprefix("recipe."))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("recipe.landmark_start=3", r"LandmarkStart \| None"),
        ("recipe.steps=many", r"int \| None"),
        ("recipe.schedule=tanh", r"Literal\['steps', 'cosine'\]"),
        ("recipe.betas=[0.5]", r"tuple\[float, float\]"),
        ("recipe.milestones=[true]", "float"),
        ("recipe.batch_size=null", "int"),
        ("model.memory=[]", r"MemoryConfig \| None"),
    ],
)
def test_a_setting_of_another_kind_is_refused(setting, wanted):
    with pytest.raises(TalkheadError, match=f"which is not .*{wanted}"):
        apply_settings(preset("fomm"), Recipe("test"), [setting])


def test_a_header_with_values_of_other_kinds_is_refused():
    for name, value in (("image_size", "256"), ("channels", [256, None, 64]), ("memory", 3)):
        values = json.loads(json.dumps(to_dict(preset("mcnet")))) | {name: value}
        with pytest.raises(TalkheadError, match=f"{name} is .*, which is not"):
            from_dict(values)
