"""Train the mask classifier: a small depthwise CNN on the 96x96 crop, calibrated, as TFLite.

Shortcuts are augmented away (size, blur, JPEG, colour, borders), and half of the unmasked
training faces also serve as masked ones with a drawn mask, so that the cloth itself is learned.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tools.models import crops as c

EPOCHS, BATCH, SEED = 24, 64, 20_261_101
TEST_SHARE = 0.25


def build_network() -> Any:
    """Build the depthwise CNN; input (n, 96, 96, 3) RGB 0..255, output one logit."""
    import tensorflow as tf

    layers = tf.keras.layers
    inputs = tf.keras.Input((c.MASK_SIDE, c.MASK_SIDE, 3), name="crop_rgb")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = layers.Conv2D(16, 3, 2, "same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for width, stride in ((24, 2), (32, 1), (48, 2), (64, 1), (96, 2), (128, 1)):
        x = layers.DepthwiseConv2D(3, stride, "same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(width, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return tf.keras.Model(inputs, layers.Dense(1, name="logit")(x))


def prepare(crop: c.U8, rng: np.random.Generator) -> c.U8:
    """Augment one training crop and bring it to the network's size."""
    out = c.random_border(c.degrade(crop, rng), rng) if rng.random() < 0.85 else crop
    if rng.random() < 0.5:
        out = out[:, ::-1]
    angle, scale = rng.uniform(-8, 8), rng.uniform(0.92, 1.1)
    matrix = cv2.getRotationMatrix2D((c.CROP / 2, c.CROP / 2), angle, scale)
    matrix[:, 2] += rng.uniform(-5, 5, 2)
    out = cv2.warpAffine(out, matrix, (c.CROP, c.CROP), borderMode=cv2.BORDER_REFLECT)
    return shrink(np.asarray(out, np.uint8))


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
        if label == 0 and rng.random() < 0.35:
            label, crop = 1, c.draw_mask(crop, rng)
        rows.append(prepare(crop, rng))
        truth.append(label)
    return np.stack(rows), np.array(truth, np.float32)


def train(images: c.U8, labels: np.ndarray, *, epochs: int = EPOCHS, seed: int = SEED) -> Any:
    """Train a network; returns the Keras model that gives logits."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    network = build_network()
    steps = epochs * (len(images) // BATCH)
    schedule = tf.keras.optimizers.schedules.CosineDecay(3e-3, steps)
    loss = tf.keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.02)
    network.compile(tf.keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss)
    for _ in range(epochs):
        pictures, truth = epoch_data(images, labels, rng)
        weight = np.where(truth > 0.5, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
        network.fit(pictures, truth, sample_weight=weight, batch_size=BATCH, verbose=0)
    return network


def logits_of(network: Any, images: np.ndarray) -> np.ndarray:
    """Return the logits of 160 px crops."""
    small = np.stack([shrink(i) for i in images])
    return np.asarray(network.predict(small, verbose=0)[:, 0])


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the two classes' accuracies at logit 0."""
    right = (logits > 0) == (labels > 0.5)
    return float((right[labels > 0.5].mean() + right[labels < 0.5].mean()) / 2)


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature with the least log loss (Guo et al., ICML 2017)."""

    def loss(t: float) -> float:
        return float(np.mean(np.logaddexp(0, -np.where(labels > 0.5, 1, -1) * logits / t)))

    return min(np.arange(0.5, 6.01, 0.05), key=loss)


def export(network: Any, temperature: float, target: Path) -> None:
    """Write the calibrated network as float TFLite: crop RGB 0..255 -> P(masked)."""
    import tensorflow as tf

    inputs = tf.keras.Input((c.MASK_SIDE, c.MASK_SIDE, 3), batch_size=1, name="crop_rgb")
    probability = tf.keras.layers.Activation("sigmoid")(network(inputs) / temperature)
    final = tf.keras.Model(inputs, probability)
    target.write_bytes(tf.lite.TFLiteConverter.from_keras_model(final).convert())


def main() -> None:
    """Train, measure, export, and write the report beside the network."""
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
    test = np.random.default_rng(SEED).random(len(images)) < TEST_SHARE
    network = train(images[~test], labels[~test], epochs=args.epochs)
    report = measure(network, images[test], labels[test], sources[test])
    if args.sources:
        report["left_out"] = leave_one_source_out(images, labels, sources, test, epochs=args.epochs)
    logits = logits_of(network, images[test])
    report["temperature"] = temperature = float(best_temperature(logits, labels[test]))
    export(network, temperature, args.out / "mask_v1.tflite")
    keep_report(args.out / "measured.json", report)
    print(json.dumps(report, indent=2))


def keep_report(file: Path, mask: dict[str, Any]) -> None:
    """Put the mask classifier's figures beside the others of the pack."""
    report = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(report | {"mask": mask}, indent=2) + "\n")


def leave_one_source_out(
    images: c.U8, labels: np.ndarray, sources: np.ndarray, test: np.ndarray, *, epochs: int
) -> dict[str, dict[str, float]]:
    """Train without one source's masked faces and look for masks on exactly those.

    Unmasked faces come from one source only, so only the masked side can be left out.
    """
    report = {}
    for source in sorted(set(sources[labels > 0.5])):
        gone = (sources == source) & (labels > 0.5)
        network = train(images[~test & ~gone], labels[~test & ~gone], epochs=epochs)
        bare = logits_of(network, images[test & (labels < 0.5)])
        report[str(source)] = {
            "faces": int(gone.sum()),
            "masked_found": float((logits_of(network, images[gone]) > 0).mean()),
            "unmasked_right": float((bare <= 0).mean()),
        }
    return report


def measure(network: Any, images: c.U8, labels: np.ndarray, sources: np.ndarray) -> dict[str, Any]:
    """Measure the network on held-out crops: sizes, sources and drawn masks."""
    rng = np.random.default_rng(1)
    report: dict[str, Any] = {"held_out": len(images)}
    report["balanced_accuracy"] = balanced_accuracy(logits_of(network, images), labels)
    for face in (24, 28, 32, 48, 64):
        small = np.stack([c.degrade(i, rng, face_px=face) for i in images])
        report[f"balanced_accuracy_{face}px"] = balanced_accuracy(logits_of(network, small), labels)
    for source in sorted(set(sources)):
        mine = sources == source
        logits = logits_of(network, images[mine])
        report[f"accuracy_{source}"] = float(((logits > 0) == (labels[mine] > 0.5)).mean())
    drawn = np.stack([c.draw_mask(i, rng) for i in images[labels < 0.5]])
    report["drawn_masks_found"] = float((logits_of(network, drawn) > 0).mean())
    return report


if __name__ == "__main__":
    main()
