"""Train the mask classifier: a small depthwise CNN on the 96x96 crop, calibrated, as TFLite.

Shortcuts are augmented away (size, blur, JPEG, colour, grey, cut-outs, borders), pictures are
mixed (Zhang et al., mixup, ICLR 2018), and a quarter of the unmasked training faces serve as
masked ones with a drawn, often printed mask, so that the cloth itself is learned. The exported
network averages the logits of the crop and its mirror image. Pictures of the same person fall on
the same side of the split, so that the held-out quarter holds people whom training never saw.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.optimize import minimize_scalar

from agent.vision.tracklets import MASKED_FROM, UNMASKED_TO
from tools.models import crops as c
from tools.models.manifest import MASK_FILE
from tools.models.people import held_out, people_of

EPOCHS, BATCH, SEED = 60, 64, 20_261_101
TEST_SHARE = 0.25
WIDTHS = ((32, 2), (48, 1), (64, 2), (96, 1), (128, 2), (192, 1))
OFFSETS = np.arange(0.0, 2.01, 0.1)
PLATEAU = 0.0003
FIRST_WIDTH = 24
RESIDUAL_UP_TO = 96
MIX_UNTIL = 0.7
"""Share of the epochs with mixed pictures; the last ones see clean labels."""
DRAWN_SHARE = 0.25


def build_network() -> Any:
    """Build the depthwise CNN; input (n, 96, 96, 3) RGB 0..255, output one logit."""
    import tensorflow as tf

    layers = tf.keras.layers
    inputs = tf.keras.Input((c.MASK_SIDE, c.MASK_SIDE, 3), name="crop_rgb")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = _settled(layers.Conv2D(FIRST_WIDTH, 3, 2, "same", use_bias=False)(x))
    for width, stride in WIDTHS:
        x = _settled(layers.DepthwiseConv2D(3, stride, "same", use_bias=False)(x))
        x = _settled(layers.Conv2D(width, 1, use_bias=False)(x))
        if stride == 1:
            x = _residual(x, width)
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    return tf.keras.Model(inputs, layers.Dense(1, name="logit")(x))


def _settled(x: Any) -> Any:
    import tensorflow as tf

    return tf.keras.layers.ReLU()(tf.keras.layers.BatchNormalization(momentum=0.9)(x))


def _residual(x: Any, width: int) -> Any:
    import tensorflow as tf

    layers = tf.keras.layers
    inner = _settled(layers.DepthwiseConv2D(3, 1, "same", use_bias=False)(x))
    if width <= RESIDUAL_UP_TO:
        inner = layers.Conv2D(width, 1, use_bias=False)(inner)
    inner = layers.BatchNormalization(momentum=0.9)(inner)
    return layers.ReLU()(layers.Add()([x, inner]))


def prepare(crop: c.U8, rng: np.random.Generator) -> c.U8:
    """Augment one training crop and bring it to the network's size."""
    out = c.random_border(c.degrade(crop, rng), rng) if rng.random() < 0.85 else crop
    if rng.random() < 0.5:
        out = out[:, ::-1]
    angle, scale = rng.uniform(-8, 8), rng.uniform(0.92, 1.1)
    matrix = cv2.getRotationMatrix2D((c.CROP / 2, c.CROP / 2), angle, scale)
    matrix[:, 2] += rng.uniform(-5, 5, 2)
    out = cv2.warpAffine(out, matrix, (c.CROP, c.CROP), borderMode=cv2.BORDER_REFLECT)
    small = shrink(np.asarray(out, np.uint8))
    if rng.random() < 0.25:
        small = c.cut_out(small, rng)
    if rng.random() < 0.1:
        small = np.repeat(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return np.asarray(small, np.uint8)


def shrink(crop: c.U8) -> c.U8:
    """Bring a crop to the network's 96 px."""
    return np.asarray(cv2.resize(crop, (c.MASK_SIDE,) * 2, interpolation=cv2.INTER_AREA), np.uint8)


def epoch_data(
    images: c.U8, labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Make one epoch's augmented pictures and labels, drawn masks included."""
    order = rng.permutation(len(images))
    rows, truth = [], []
    for index in order:
        label, crop = labels[index], images[index]
        if label == 0 and rng.random() < DRAWN_SHARE:
            print_of = images[rng.integers(len(images))] if rng.random() < 0.35 else None
            label, crop = 1, c.draw_mask(crop, rng, print_of=print_of)
        rows.append(prepare(crop, rng))
        truth.append(label)
    return np.stack(rows).astype(np.float32), np.array(truth, np.float32)


def mixed(
    pictures: np.ndarray, truth: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Blend each picture and label with another's."""
    share = rng.beta(0.2, 0.2, len(pictures)).astype(np.float32)
    other = rng.permutation(len(pictures))
    wide = share[:, None, None, None]
    blended = pictures * wide + pictures[other] * (1 - wide)
    return blended, truth * share + truth[other] * (1 - share)


def train(images: c.U8, labels: np.ndarray, *, epochs: int = EPOCHS, seed: int = SEED) -> Any:
    """Train a network; returns the Keras model that gives logits."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    network = build_network()
    steps = epochs * (len(images) // BATCH)
    schedule = tf.keras.optimizers.schedules.CosineDecay(3e-3, steps)
    loss = tf.keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.03)
    network.compile(tf.keras.optimizers.AdamW(schedule, weight_decay=5e-4), loss)
    for epoch in range(epochs):
        pictures, truth = epoch_data(images, labels, rng)
        weight = np.where(truth > 0.5, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
        if epoch < MIX_UNTIL * epochs:
            pictures, truth = mixed(pictures, truth, rng)
        network.fit(pictures, truth, sample_weight=weight, batch_size=BATCH, verbose=0)
    return network


def logits_of(network: Any, images: np.ndarray) -> np.ndarray:
    """Return the logits of 160 px crops, averaged with those of their mirror images."""
    small = np.stack([shrink(i) for i in images]).astype(np.float32)
    views = (small, small[:, :, ::-1])
    return np.asarray(np.mean([network.predict(v, verbose=0)[:, 0] for v in views], axis=0))


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the two classes' accuracies at logit 0."""
    right = (logits > 0) == (labels > 0.5)
    return float((right[labels > 0.5].mean() + right[labels < 0.5].mean()) / 2)


def calibrate(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Fit offset and temperature: logit -> (logit + offset) / temperature.

    The offset is the middle of those whose balanced accuracy is the best but for `PLATEAU`, the
    temperature has the least class-balanced log loss (Guo et al., ICML 2017).
    """
    accuracy = np.array([balanced_accuracy(logits + o, labels) for o in OFFSETS])
    good = OFFSETS[accuracy >= accuracy.max() - PLATEAU]
    offset = float(good[0] + good[-1]) / 2
    sign = np.where(labels > 0.5, 1, -1)
    weight = np.where(labels > 0.5, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))

    def loss(temperature: float) -> float:
        scaled = sign * (logits + offset) / temperature
        return float(np.mean(weight * np.logaddexp(0, -scaled)))

    temperature = minimize_scalar(loss, bounds=(0.3, 5.0), method="bounded").x
    return round(offset, 3), round(float(temperature), 3)


def export(network: Any, target: Path) -> None:
    """Write a network as TFLite with fp16 weights: crop RGB 0..255 -> sigmoid(logit)."""
    import tensorflow as tf

    inputs = tf.keras.Input((c.MASK_SIDE, c.MASK_SIDE, 3), batch_size=1, name="crop_rgb")
    mirrored = tf.keras.ops.flip(inputs, axis=2)
    logit = (network(inputs) + network(mirrored)) / 2
    final = tf.keras.Model(inputs, tf.keras.layers.Activation("sigmoid")(logit))
    converter = tf.lite.TFLiteConverter.from_keras_model(final)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    target.write_bytes(converter.convert())


def main() -> None:
    """Train, measure, export, and write the report beside the networks."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with masked/, unmasked/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--sources", action="store_true", help="also leave one source out (slow)")
    args = parser.parse_args()
    masked, masked_names = c.read_crops(args.data / "masked")
    unmasked, unmasked_names = c.read_crops(args.data / "unmasked")
    images = np.concatenate([masked, unmasked])
    labels = np.concatenate([np.ones(len(masked)), np.zeros(len(unmasked))])
    sources = np.array([n.split("-")[0] for n in masked_names + unmasked_names])
    test = held_out(people_of(images), share=TEST_SHARE, seed=SEED)
    network = train(images[~test], labels[~test], epochs=args.epochs)
    # Calibrated where the network was trained, on the pictures as they are and made worse.
    rng = np.random.default_rng(SEED)
    hard = np.stack([c.degrade(i, rng) for i in images[~test]])
    both = np.concatenate([images[~test], hard])
    offset, temperature = calibrate(logits_of(network, both), np.tile(labels[~test], 2))
    report = measure(network, offset, images[test], labels[test], sources[test])
    if args.sources:
        report["left_out"] = leave_one_source_out(
            images, labels, sources, test, offset=offset, epochs=args.epochs
        )
    report |= {"offset": offset, "temperature": temperature,
               "logit_scale": 1.0}  # fmt: skip
    report["unsure"] = unsure_share(logits_of(network, images[test]) + offset, temperature)
    export(network, args.out / MASK_FILE)
    keep_report(args.out / "measured.json", report)
    print(json.dumps(report, indent=2))


def keep_report(file: Path, mask: dict[str, Any]) -> None:
    """Put the mask classifier's figures beside the others of the pack."""
    report = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(report | {"mask": mask}, indent=2) + "\n")


def leave_one_source_out(
    images: c.U8, labels: np.ndarray, sources: np.ndarray, test: np.ndarray, *,
    offset: float, epochs: int,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Train without one source's masked faces and look for masks on exactly those.

    Unmasked faces come from one source only, so only the masked side can be left out.
    """
    report = {}
    for source in sorted(set(sources[labels > 0.5])):
        gone = (sources == source) & (labels > 0.5)
        network = train(images[~test & ~gone], labels[~test & ~gone], epochs=epochs)
        bare = logits_of(network, images[test & (labels < 0.5)]) + offset
        report[str(source)] = {
            "faces": int(gone.sum()),
            "masked_found": float((logits_of(network, images[gone]) + offset > 0).mean()),
            "unmasked_right": float((bare <= 0).mean()),
        }
    return report


def measure(
    network: Any, offset: float, images: c.U8, labels: np.ndarray,
    sources: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """Measure the network on held-out crops: sizes, JPEG, blur, sources and drawn masks."""
    rng = np.random.default_rng(1)

    def answers(pictures: np.ndarray) -> np.ndarray:
        return logits_of(network, pictures) + offset

    plain = answers(images)
    report: dict[str, Any] = {
        "held_out": len(images), "balanced_accuracy": balanced_accuracy(plain, labels),
    }  # fmt: skip
    for name, spoil in spoilers().items():
        spoiled = np.stack([spoil(i) for i in images])
        report[f"balanced_accuracy_{name}"] = balanced_accuracy(answers(spoiled), labels)
    hard = np.stack([c.degrade(i, rng, face_px=28) for i in images])
    report["balanced_accuracy_28px_degraded"] = balanced_accuracy(answers(hard), labels)
    report["confusion"] = {
        str(source): confusion(plain[sources == source], labels[sources == source])
        for source in sorted(set(sources))
    }
    drawn = np.stack([c.draw_mask(i, rng) for i in images[labels < 0.5]])
    report["drawn_masks_found"] = float((answers(drawn) > 0).mean())
    return report


def spoilers() -> dict[str, Callable[[c.U8], c.U8]]:
    """Name the ways in which the held-out crops are made worse, one at a time."""
    sizes = {f"{px}px": partial(c.at_face_size, face_px=px) for px in (24, 28, 32, 48, 64)}
    jpegs = {f"jpeg{q}": partial(c.recompress, quality=q) for q in (30, 50, 70)}
    blurs = {f"blur{s}": partial(c.blur, sigma_px=float(s)) for s in (1, 2, 3)}
    return {**sizes, **jpegs, **blurs}


def confusion(logits: np.ndarray, labels: np.ndarray) -> dict[str, int]:
    """Count right and wrong answers of each class."""
    found, truth = logits > 0, labels > 0.5
    return {
        "masked_right": int((found & truth).sum()), "masked_missed": int((~found & truth).sum()),
        "unmasked_right": int((~found & ~truth).sum()),
        "unmasked_wrong": int((found & ~truth).sum()),
    }  # fmt: skip


def unsure_share(logits: np.ndarray, temperature: float) -> float:
    """Return the share of faces whose calibrated probability names no state."""
    probability = 1 / (1 + np.exp(-logits / temperature))
    return float(((probability > UNMASKED_TO) & (probability < MASKED_FROM)).mean())


if __name__ == "__main__":
    main()
