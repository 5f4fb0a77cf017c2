"""Official releases: read as they are, written as they were, and nothing else accepted."""

import functools
import shutil
from dataclasses import replace

import pytest
import torch
from miniatures import FAMILIES, mini, mini_config
from PIL import Image
from typer.testing import CliRunner

from talkhead import checkpoint
from talkhead.bundled import sha256
from talkhead.checkpoint import Provenance
from talkhead.cli import app
from talkhead.config import PRESETS, FommConfig, preset
from talkhead.conversion import convert
from talkhead.conversion.names import LAYOUTS
from talkhead.errors import TalkheadError

OURS = Provenance("trained by a test", "MIT")
# Numbers of tensors of the published files, anti-alias kernels included.
OFFICIAL_COUNTS = {"codebook": 622, "mcnet": 322, "fomm": 271}
OFFICIAL_NAMES = {
    "codebook": "net_g.fuse_convs_dict.128.encode_enc.conv_out.weight",
    "mcnet": "generator.mbUnit.conv_kv.attention.fc1.weight",
    "fomm": "generator.bottleneck.r5.norm2.running_var",
    "tpsmm": "dense_motion_network.hourglass.decoder.up_blocks.4.conv.weight",
}


def release_config(family):
    """A miniature with the settings that a release implies without saying them."""
    config = mini_config(family, image_size=256)
    if family == "tpsmm":
        return replace(config, avd=True)
    if family == "codebook":
        return replace(
            config,
            norm_groups=32,
            channels=(32, 32, 32, 32),
            motion_codebook=replace(config.motion_codebook, num_heads=8),
            appearance_codebook=replace(config.appearance_codebook, num_heads=8),
        )
    return config


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Miniature releases at the releases' image size, each made once: the model and its files."""

    @functools.cache
    def write(family):
        model, folder = mini(release_config(family)), tmp_path_factory.mktemp(family)
        checkpoint.save(folder / "w.safetensors", model, OURS)
        return model, convert.export(folder / "w.safetensors", folder / "release")

    return write


@pytest.fixture
def release(tmp_path, exported):
    """The model of a miniature release, and copies of its files."""

    def copies(family):
        model, files = exported(family)
        folder = tmp_path / family
        folder.mkdir()
        return model, [shutil.copy(path, folder / path.name) for path in files]

    return copies


def test_a_release_that_is_there_is_kept(release, tmp_path):
    _, (path,) = release("fomm")
    path.write_bytes(b"precious")
    checkpoint.save(tmp_path / "own.safetensors", mini(release_config("fomm")), OURS)
    with pytest.raises(TalkheadError, match="pass --overwrite"):
        convert.export(tmp_path / "own.safetensors", tmp_path / "fomm")
    assert path.read_bytes() == b"precious"
    convert.export(tmp_path / "own.safetensors", tmp_path / "fomm", overwrite=True)
    assert path.read_bytes() != b"precious"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_release_goes_there_and_back_without_a_bit_of_difference(family, release, tmp_path):
    model, files = release(family)
    header = convert.convert(files, tmp_path / "back.safetensors")
    loaded, _ = checkpoint.load(tmp_path / "back.safetensors")
    assert header.config == model.config
    assert header.provenance.licence == LAYOUTS[family].licence
    assert header.provenance.sources == {path.name: sha256(path) for path in files}
    back = loaded.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(back[name], tensor), name


def test_both_files_of_a_release_are_noted_where_they_have_one_name(release, tmp_path):
    _, files = release("codebook")
    moved = []
    for path in files:
        (tmp_path / path.stem).mkdir()
        moved.append(path.rename(tmp_path / path.stem / "latest.pth"))
    header = convert.convert(moved, tmp_path / "back.safetensors")
    assert header.provenance.sources == {f"{p.parent.name}/latest.pth": sha256(p) for p in moved}


@pytest.mark.parametrize("family", FAMILIES)
def test_full_size_layouts_have_the_published_names(family):
    keys = convert.official_keys(preset(family))
    assert OFFICIAL_NAMES[family] in keys
    assert len(keys) == OFFICIAL_COUNTS.get(family, len(keys))


def test_wrapped_keys_averages_and_leftovers_of_training_are_understood(release, tmp_path):
    _, (generator, estimator) = release("codebook")
    content = torch.load(generator, weights_only=True)
    average = {f"module.{key}": tensor for key, tensor in content["params_ema"].items()}
    raw = {key: tensor * 0 for key, tensor in content["params"].items()}
    torch.save({"params": raw, "params_ema": average}, generator)
    convert.convert([estimator, generator], tmp_path / "w.safetensors")
    model, _ = checkpoint.load(tmp_path / "w.safetensors")
    assert torch.equal(
        model.decoder.out.weight, content["params_ema"]["generator.blocks.18.weight"]
    )

    _, (path,) = release("fomm")
    content = torch.load(path, weights_only=True)
    content |= {"discriminator": {"a": torch.zeros(1)}, "optimizer_generator": {"state": {}}}
    torch.save(content | {"epoch": 7}, path)
    convert.convert([path], tmp_path / "v.safetensors")


def test_the_file_format_of_old_torch_is_read(release, tmp_path):
    model, (path,) = release("fomm")
    content = torch.load(path, weights_only=True)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert convert.convert([path], tmp_path / "w.safetensors").config == model.config


def test_fomm_can_be_told_how_its_grids_were_read(release, tmp_path):
    _, files = release("fomm")
    header = convert.convert(files, tmp_path / "w.safetensors", align_corners=True)
    assert isinstance(header.config, FommConfig)
    assert header.config.align_corners
    _, files = release("tpsmm")
    with pytest.raises(TalkheadError, match="fomm only"):
        convert.convert(files, tmp_path / "v.safetensors", align_corners=True)


class Hostile:
    """Unpickled without care, it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_file_runs_nothing(zipped, tmp_path):
    path, trace = tmp_path / "evil.pth.tar", tmp_path / "trace"
    content = {"generator": {"a": Hostile(trace)}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(TalkheadError, match=r"more than tensors.*open"):
        convert.convert([path], tmp_path / "w.safetensors")
    assert not trace.exists()
    assert not (tmp_path / "w.safetensors").exists()


def test_the_command_refuses_a_hostile_and_a_strange_file_in_one_sentence(tmp_path):
    evil, stranger = tmp_path / "evil.pth.tar", tmp_path / "depth.pth"
    torch.save({"generator": {"a": Hostile(tmp_path / "trace")}}, evil)
    # DaGAN keeps a depth network beside its generator.
    torch.save({"encoder.conv1.weight": torch.zeros(2), "height": torch.tensor(1)}, stranger)
    before = sorted(tmp_path.iterdir())
    for path, words in ((evil, "nothing in it was used"), (stranger, "none of the known releases")):
        command = ["convert", str(path), "-o", str(tmp_path / "w.safetensors")]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert words in result.stderr
        assert "Traceback" not in result.stderr
        assert sorted(tmp_path.iterdir()) == before


def test_what_is_no_checkpoint_at_all_is_told_apart(tmp_path):
    picture, own = tmp_path / "photo.jpg", tmp_path / "own.safetensors"
    Image.new("RGB", (64, 64)).save(picture)
    checkpoint.save(own, mini("fomm"), OURS)
    for path, words in ((picture, "file of another kind"), (own, "used as they are")):
        with pytest.raises(TalkheadError, match=words):
            convert.convert([path], tmp_path / "w.safetensors")


def test_damaged_missing_and_unpacked_files_are_named(release, tmp_path):
    _, (path,) = release("mcnet")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(TalkheadError, match=r"final-checkpoint\.pth\.tar"):
        convert.convert([path], tmp_path / "w.safetensors")
    path.write_bytes(b"\x00garbage")
    with pytest.raises(TalkheadError, match=r"final-checkpoint\.pth\.tar"):
        convert.convert([path], tmp_path / "w.safetensors")
    with pytest.raises(TalkheadError, match="no file"):
        convert.convert([tmp_path / "nothing.pth"], tmp_path / "w.safetensors")
    with pytest.raises(TalkheadError, match="folder"):
        convert.convert([tmp_path], tmp_path / "w.safetensors")


def test_half_of_a_release_names_the_missing_file(release, tmp_path):
    _, (generator, estimator) = release("codebook")
    with pytest.raises(TalkheadError, match="net_motion_estimator_latest"):
        convert.convert([generator], tmp_path / "w.safetensors")
    with pytest.raises(TalkheadError, match="net_g_latest"):
        convert.convert([estimator], tmp_path / "w.safetensors")
    with pytest.raises(TalkheadError, match="second file"):
        convert.convert([generator, generator], tmp_path / "w.safetensors")


def test_a_stranger_is_told_what_was_found_and_what_is_near(release, tmp_path):
    _, (path,) = release("fomm")
    content = torch.load(path, weights_only=True)
    torch.save(content | {"he_estimator": {"conv.weight": torch.zeros(1)}}, path)
    with pytest.raises(TalkheadError, match=r"he_estimator.*nearest is"):
        convert.convert([path], tmp_path / "w.safetensors")
    torch.save({"state": {"layer.weight": torch.zeros(2)}}, path)
    with pytest.raises(TalkheadError, match=r"layer\.weight.*no tensor in common"):
        convert.convert([path], tmp_path / "w.safetensors")


def test_a_cousin_with_other_layers_is_refused_by_their_names(release, tmp_path):
    _, (path,) = release("fomm")
    content = torch.load(path, weights_only=True)
    content["generator"]["AttnModule.query_conv.weight"] = torch.zeros(1)
    del content["generator"]["final.bias"]
    torch.save(content, path)
    with pytest.raises(TalkheadError, match=r"nearest to the fomm.*AttnModule.*final\.bias"):
        convert.convert([path], tmp_path / "w.safetensors")


def test_contradictory_shapes_are_refused(release, tmp_path):
    _, (path,) = release("fomm")
    content = torch.load(path, weights_only=True)
    content["kp_detector"]["kp.weight"] = content["kp_detector"]["kp.weight"][:3]
    torch.save(content, path)
    with pytest.raises(TalkheadError, match="does not fit"):
        convert.convert([path], tmp_path / "w.safetensors")


@pytest.mark.parametrize("changes", [None, {"split": False}, {"identity": False}])
def test_ablations_have_no_official_layout(changes, tmp_path):
    config = mini_config("mcnet", 256)
    memory = changes and replace(config.memory, **changes)
    checkpoint.save(tmp_path / "w.safetensors", mini(replace(config, memory=memory)), OURS)
    with pytest.raises(TalkheadError, match="no official layout"):
        convert.export(tmp_path / "w.safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_settings_that_no_release_knows_are_refused(tmp_path):
    config = release_config("codebook")
    heads = replace(config.motion_codebook, num_heads=4)
    checkpoint.save(tmp_path / "w.safetensors", mini(replace(config, motion_codebook=heads)), OURS)
    with pytest.raises(TalkheadError, match="cannot express motion_codebook"):
        convert.export(tmp_path / "w.safetensors", tmp_path / "out")


def test_every_family_has_a_layout():
    assert {config.family for config in PRESETS.values()} == set(LAYOUTS)
