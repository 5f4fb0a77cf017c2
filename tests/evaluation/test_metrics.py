"""Each metric against something computed another way."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from talkhead.errors import TalkheadError
from talkhead.evaluation.metrics import backends, faces
from talkhead.evaluation.metrics.base import FrameBatch
from talkhead.evaluation.metrics.faces import FaceMetric, cosine, euclidean
from talkhead.evaluation.metrics.keypoints import RegionMetrics, box
from talkhead.evaluation.metrics.landmarks import LandmarkFolder
from talkhead.evaluation.metrics.networks import NETWORKS, WeightsFile, check, obstacle
from talkhead.evaluation.metrics.perceptual import InceptionFeatures, LpipsMetric, frechet_distance
from talkhead.evaluation.metrics.pixels import PixelMetrics, l1, psnr, ssim, ssim_published_mcnet
from talkhead.evaluation.metrics.registry import METRICS
from talkhead.evaluation.report.tables import metric_list

CPU = torch.device("cpu")


def flat(value: int, size: int = 16) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def noisy_pair(size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture and the same with noise."""
    y, x = np.mgrid[0:size, 0:size]
    smooth = np.stack([4 * x, 4 * y, 2 * (x + y)], axis=-1) + 60
    noise = np.random.default_rng(0).normal(0, 20, smooth.shape)
    return smooth.astype(np.uint8), np.clip(smooth + noise, 0, 255).astype(np.uint8)


def clip_folder(folder: Path) -> Path:
    """A clip called `a`, as a folder of pictures."""
    (folder / "a").mkdir()
    return folder / "a"


def batch(
    results: list[np.ndarray], driving: list[np.ndarray], clip: str | Path = "a.mp4"
) -> FrameBatch:
    numbers = tuple(range(len(results)))
    return FrameBatch(driving[0], None, np.stack(driving), np.stack(results), Path(clip), numbers)


def test_l1_of_flat_pictures_is_their_distance_over_255() -> None:
    assert l1(flat(10), flat(61)) == pytest.approx(0.2)
    assert l1(flat(61), flat(10)) == pytest.approx(0.2)  # no wrap-around below zero


def test_l1_counts_every_channel() -> None:
    changed = flat(0)
    changed[:, :, 1] = 255
    assert l1(changed, flat(0)) == pytest.approx(1 / 3)


def test_psnr_of_an_error_of_one_level_is_48_decibels() -> None:
    assert psnr(flat(100), flat(101)) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(flat(0), flat(255)) == pytest.approx(0)


def test_psnr_of_identical_pictures_is_not_judged() -> None:
    values = PixelMetrics()(batch([flat(9), flat(10)], [flat(9), flat(20)]))
    assert np.isnan(values["psnr"][0])
    assert values["psnr"][1] == pytest.approx(20 * np.log10(255 / 10))


def test_ssim_equals_its_formula_in_the_valid_region() -> None:
    a, b = noisy_pair()
    offsets = np.arange(11) - 5
    kernel = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(kernel, kernel) / kernel.sum() ** 2

    def mean(channel: np.ndarray) -> np.ndarray:
        return (np.lib.stride_tricks.sliding_window_view(channel, window.shape) * window).sum(
            (2, 3)
        )

    values = []
    for c in range(3):
        x, y = a[..., c].astype(float), b[..., c].astype(float)
        mx, my = mean(x), mean(y)
        vx, vy = mean(x * x) - mx**2, mean(y * y) - my**2
        both = mean(x * y) - mx * my
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        top = (2 * mx * my + c1) * (2 * both + c2)
        values.append((top / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    assert ssim(a, b) == pytest.approx(np.mean(values), abs=1e-7)


def test_ssim_as_mcnet_published_it_inflates() -> None:
    a, b = noisy_pair()
    assert ssim_published_mcnet(a, b) > ssim(a, b) + 0.03
    assert ssim_published_mcnet(a, a) == pytest.approx(1)


def test_ssim_as_mcnet_published_it_equals_its_formula() -> None:
    a, b = noisy_pair(16)
    window = np.full((7, 7), 1 / 49)

    def mean(channel: np.ndarray) -> np.ndarray:
        return (np.lib.stride_tricks.sliding_window_view(channel, window.shape) * window).sum(
            (2, 3)
        )

    values = []
    for c in range(3):
        x, y = a[..., c] / 255, b[..., c] / 255
        mx, my = mean(x), mean(y)
        sample = 49 / 48
        vx, vy = sample * (mean(x * x) - mx**2), sample * (mean(y * y) - my**2)
        both = sample * (mean(x * y) - mx * my)
        c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
        top = (2 * mx * my + c1) * (2 * both + c2)
        values.append((top / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    assert ssim_published_mcnet(a, b) == pytest.approx(np.mean(values), abs=1e-7)


def test_lpips_gets_minus_one_to_one_and_mcnets_variant_zero_to_one() -> None:
    seen: list[tuple[float, float]] = []

    def network(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen.append((float(a.min()), float(b.max())))
        return (a - b).square().mean(dim=(1, 2, 3), keepdim=True)

    pair = batch([flat(0), flat(0)], [flat(255), flat(0)])
    right = LpipsMetric("lpips_alex", network, CPU)(pair)["lpips_alex"]
    published = LpipsMetric("lpips_alex_published_mcnet", network, CPU, published=True)(pair)
    assert seen == [(-1.0, 1.0), (0.0, 1.0)]
    assert right.tolist() == [4.0, 0.0]
    assert published["lpips_alex_published_mcnet"].tolist() == [1.0, 0.0]


def test_frechet_distance_of_shifted_features_is_the_squared_shift() -> None:
    features = np.random.default_rng(0).normal(size=(50, 6))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(features, features + 2.0) == pytest.approx(6 * 4, abs=1e-6)


def test_frechet_distance_equals_the_formula_with_a_matrix_root() -> None:
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(40, 5)), rng.normal(1, 2, size=(60, 5)) @ rng.normal(size=(5, 5))
    ca, cb = np.cov(a.T), np.cov(b.T)
    shift = a.mean(0) - b.mean(0)
    expected = shift @ shift + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_needs_two_pictures() -> None:
    assert frechet_distance(np.zeros((1, 3)), np.zeros((5, 3))) is None


def test_inception_features_are_one_row_per_picture_of_values_in_zero_to_one() -> None:
    network = lambda images: [images.mean(dim=(2, 3), keepdim=True)]  # noqa: E731
    features = InceptionFeatures(network, CPU)(np.stack([flat(0), flat(255)]))
    assert features.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_published_akd_is_smaller_than_the_distance_it_is_named_after() -> None:
    points = {0: np.zeros((68, 2)), 10: np.full((68, 2), [3.0, 4.0])}
    backend = FaceMetric(
        "fake",
        lambda picture: points[int(picture[0, 0, 0])],
        {"akd": euclidean, "akd_published": faces.absolute},
    )
    values = backend(batch([flat(0)], [flat(10)]))
    assert values["akd"].tolist() == [5.0]
    assert values["akd_published"].tolist() == [3.5]


def test_pairs_with_a_picture_without_a_face_are_not_judged() -> None:
    look = lambda picture: None if picture[0, 0, 0] == 0 else np.ones((68, 2))  # noqa: E731
    backend = FaceMetric("fake", look, {"akd": euclidean})
    values = backend(batch([flat(0), flat(5), flat(6)], [flat(5), flat(0), flat(7)]))["akd"]
    assert np.isnan(values[:2]).all()
    assert values[2] == 0


def test_the_same_driving_picture_is_looked_at_once() -> None:
    looks: list[int] = []

    def look(picture: np.ndarray) -> np.ndarray:
        looks.append(int(picture[0, 0, 0]))
        return np.zeros((68, 2))

    backend = FaceMetric("fake", look, {"akd": euclidean})
    backend(batch([flat(1)], [flat(7)]))
    backend(batch([flat(2)], [flat(7)]))
    assert sorted(looks) == [1, 2, 7]


def test_identity_is_compared_with_the_source() -> None:
    look = lambda p: np.array([1.0, 0.0]) if p[0, 0, 0] < 128 else np.array([3.0, 3.0])  # noqa: E731
    given = batch([flat(200)], [flat(1)])
    assert FaceMetric("fake", look, {"csim": cosine}, True)(given)["csim"] == pytest.approx(
        0.5**0.5
    )


def test_published_aed_is_the_square_of_the_rooted_one() -> None:
    a, b = np.array([1.0, 2.0, 3.0]), np.array([1.0, 5.0, 7.0])
    assert faces.rooted(a, b) == 5
    assert faces.squared(a, b) == 25


def test_pose_and_action_units_of_one_look() -> None:
    seen = {0: [0, 0, 0, 0.9, 0.1, 0.6, 0.2], 1: [3, 6, 6, 0.4, 0.2, 0.7, 0.1]}
    behaviour = {"prmse": faces.pose_error, "aucon": faces.agreement}
    backend = FaceMetric(
        "fake", lambda picture: np.array(seen[int(picture[0, 0, 0])], float), behaviour
    )
    values = backend(batch([flat(0)], [flat(1)]))
    assert values["prmse"] == pytest.approx(np.sqrt((9 + 36 + 36) / 3))
    assert values["aucon"] == pytest.approx(3 / 4)  # only the first unit changes sides


def test_regions_are_boxes_around_their_landmarks(tmp_path: Path) -> None:
    points = np.full((1, 68, 2), 128.0)
    points[0, 48:68] = [[100, 200]] * 10 + [[140, 220]] * 10  # the mouth, in pixels of 256
    np.savez(tmp_path / "a.npz", points=points)
    result, truth = flat(0, 64), flat(0, 64)
    Image.fromarray(flat(0, 256)).save(clip_folder(tmp_path) / "0.png")
    rows, columns = box(points[0, 48:68] / 4, 64)
    assert (rows.start, rows.stop, columns.start, columns.stop) == (47, 58, 22, 38)
    result[rows, columns] = 51
    backend = RegionMetrics(LandmarkFolder(tmp_path))
    values = backend(batch([result], [truth], tmp_path / "a"))
    assert values["l1_mouth"] == pytest.approx(0.2)
    assert values["l1_eyes"] == 0


def test_clips_without_landmarks_are_not_judged(tmp_path: Path) -> None:
    values = RegionMetrics(LandmarkFolder(tmp_path))(batch([flat(0)], [flat(0)], "b.mp4"))
    assert np.isnan(values["l1_face"]).all()


def test_landmarks_of_a_strange_shape_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", points=np.zeros((3, 5, 2)))
    with pytest.raises(TalkheadError, match="478 or 68"):
        RegionMetrics(LandmarkFolder(tmp_path))(batch([flat(0)], [flat(0)], tmp_path / "a.mp4"))


def test_a_damaged_network_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    file = WeightsFile("net.pth", "", "00ff")
    file.path.parent.mkdir()
    file.path.write_bytes(b"not a network")
    with pytest.raises(TalkheadError, match=r"is not the net\.pth that was published"):
        check(file, file.path)


def test_missing_networks_say_what_would_fetch_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    assert "--download" in str(obstacle("fan"))
    assert "export the network" in str(obstacle("openface"))


def test_every_metric_names_a_known_network_and_is_listed() -> None:
    text = metric_list()
    for metric in METRICS.values():
        assert metric.network in ("", *NETWORKS)
        assert f"`{metric.name}`" in text


def test_py_feats_radians_become_degrees_of_its_surest_face(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Table:
        """As much of a data frame as is used: rows of (score, angles, units)."""

        def __init__(self, rows: list[tuple[float, list[float], list[float]]]) -> None:
            self.rows = rows
            self.iloc = self

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, places: list[int]) -> Table:
            return Table([self.rows[place] for place in places])

        def dropna(self, subset: list[str]) -> Table:
            return Table([row for row in self.rows if np.isfinite(row[1]).all()])

        def sort_values(self, by: str) -> Table:
            assert by == "FaceScore"
            return Table(sorted(self.rows))

        @property
        def poses(self) -> Column:
            return Column([row[1] for row in self.rows])

        @property
        def aus(self) -> Column:
            return Column([row[2] for row in self.rows])

    class Column:
        def __init__(self, values: list[list[float]]) -> None:
            self._values = values

        def __getitem__(self, names: list[str]) -> Column:
            assert names == ["Pitch", "Roll", "Yaw"]
            return self

        def to_numpy(self, dtype: type) -> np.ndarray:
            return np.array(self._values, dtype)

    pi = float(np.pi)
    tables = [
        Table([(0.9, [pi / 2, 0, -pi], [0.7]), (0.5, [1, 1, 1], [0.1])]),
        Table([(0.9, [np.nan] * 3, [0.7])]),
    ]
    detector = type("Detector", (), {"detect": lambda *_, **__: tables.pop(0)})()
    feat = type("Feat", (), {"Detectorv1": lambda **_: detector})
    monkeypatch.setitem(sys.modules, "feat", feat)  # type: ignore[arg-type]
    look = backends.behaviour("cpu")
    assert look(flat(0)) == pytest.approx([90, 0, -180, 0.7])
    assert look(flat(0)) is None
