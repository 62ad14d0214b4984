"""The field's other words for our keys, groups and options: names in other tools, and common short forms."""

import re

# Each word in lower case without dashes and underscores, with the key, group or choice that it means here.
SYNONYMS = {
    # keys
    "learningrate": "optimizer.lr",
    "lrate": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "l2": "optimizer.weight_decay",
    "gradclip": "optimizer.clip_norm",
    "clipgrad": "optimizer.clip_norm",
    "maxnorm": "optimizer.clip_norm",
    "maxgradnorm": "optimizer.clip_norm",
    "bs": "batch_size",
    "batch": "batch_size",
    "minibatch": "batch_size",
    "maxepochs": "epochs",
    "numepochs": "epochs",
    "nepochs": "epochs",
    "iterations": "epochs",
    "randomseed": "seed",
    "manualseed": "seed",
    "hidden": "model.hidden_sizes",
    "hiddendims": "model.hidden_sizes",
    "units": "model.hidden_sizes",
    "layers": "model.hidden_sizes",
    "filters": "model.channels",
    "numfilters": "model.channels",
    "numblocks": "model.depth",
    "blocks": "model.depth",
    "widenfactor": "model.width",
    "skip": "model.residual",
    "skipconnections": "model.residual",
    "residualconnections": "model.residual",
    "stochasticdepth": "model.drop_path",
    "droppathrate": "model.drop_path",
    "nonlinearity": "model.activation",
    "dropoutrate": "model.dropout",
    "droprate": "model.dropout",
    "dropoutinput": "model.input_dropout",
    "visibledropout": "model.input_dropout",
    "ghostbatch": "normalization.virtual_batch",
    "ghostbatchnorm": "normalization.virtual_batch",
    "virtualbatchsize": "normalization.virtual_batch",
    "gaussiannoise": "model.noise",
    "smoothing": "loss.label_smoothing",
    "entropypenalty": "loss.confidence_penalty",
    "classweight": "loss.class_weights",
    "criterion": "loss",
    "datadir": "data.root",
    "labelcolumn": "data.label",
    "targetcolumn": "data.label",
    "dropcolumns": "data.drop",
    "valsplit": "data.val_size",
    "warmup": "schedule.warmup_epochs",
    "dtype": "device.precision",
    "corruption": "evaluation.corruptions",
    "robustness": "evaluation.corruptions",
    "experimentname": "name",
    "runname": "name",
    # groups
    "arch": "model",
    "architecture": "model",
    "net": "model",
    "network": "model",
    "norm": "normalization",
    "aug": "augmentation",
    "augment": "augmentation",
    "transforms": "augmentation",
    "dataset": "data",
    "opt": "optimizer",
    "optim": "optimizer",
    "scheduler": "schedule",
    "lrscheduler": "schedule",
    "lrschedule": "schedule",
    "accelerator": "device",
    "stop": "early_stopping",
    "earlystop": "early_stopping",
    # choices, for keys that are switched on and off elsewhere
    "focal": "loss=focal",
    "focalloss": "loss=focal",
    "bootstrap": "loss=bootstrap",
    "bootstrapping": "loss=bootstrap",
    "batchnorm": "normalization=batch",
    "batchnormalization": "normalization=batch",
    "bn": "normalization=batch",
    "usebn": "normalization=batch",
    "layernorm": "normalization=layer",
    "layernormalization": "normalization=layer",
    "ln": "normalization=layer",
    "groupnorm": "normalization=group",
    "gn": "normalization=group",
    "rmsnorm": "normalization=rms",
    "mixup": "mixing=mixup",
    "usemixup": "mixing=mixup",
    "mixupalpha": "mixing.alpha",
    "cutmix": "mixing=cutmix",
    "usecutmix": "mixing=cutmix",
    "cutmixalpha": "mixing.alpha",
    "cutmixprob": "mixing.probability",
    "gpu": "device=cuda",
    "usegpu": "device=cuda",
    "cuda": "device=cuda",
    "amp": "device.precision=bfloat16",
    "bf16": "device.precision=bfloat16",
    "mixedprecision": "device.precision=bfloat16",
}

# The same for the options of any group.
OPTION_SYNONYMS = {
    "gpu": "cuda",
    "off": "none",
    "no": "none",
    "false": "none",
    "batchnorm": "batch",
    "bn": "batch",
    "layernorm": "layer",
    "ln": "layer",
    "groupnorm": "group",
    "gn": "group",
    "rmsnorm": "rms",
    "convnet": "cnn",
    "conv": "cnn",
    "lenet": "cnn",
    "fc": "mlp",
    "dense": "mlp",
    "perceptron": "mlp",
    "wideresnet": "resnet",
    "wrn": "resnet",
    "trivialaugment": "trivial",
    "trivialaugmentwide": "trivial",
    "randaug": "randaugment",
    "fashion": "fashion_mnist",
    "fashionmnist": "fashion_mnist",
    "cifar": "cifar10",
    "housenumbers": "svhn",
    "folder": "image_folder",
    "imagefolder": "image_folder",
    "npz": "arrays",
    "csv": "table",
    "tabular": "table",
    "parquet": "table",
    "cancer": "breast_cancer",
    "breastcancer": "breast_cancer",
    "gl": "generalization_loss",
    "generalizationloss": "generalization_loss",
    "pq": "progress",
    "prechelt": "generalization_loss",
    "ce": "cross_entropy",
    "crossentropy": "cross_entropy",
    "nll": "cross_entropy",
    "bootstraphard": "hard_bootstrap",
    "reducelronplateau": "plateau",
    "cosineannealing": "cosine",
    "cosineannealinglr": "cosine",
    "onecyclelr": "onecycle",
    "steplr": "step",
    "multisteplr": "step",
    "true": "default",
    "on": "default",
    "yes": "default",
}

_SWITCHED_OFF = ("false", "0", "no", "off", "none", "null")


def normalize_word(word: str) -> str:
    """Return a word in lower case without dashes and underscores, as the tables have it."""
    return re.sub(r"[-_]", "", word.lower())


def find_synonym(name: str) -> str | None:
    """Return the key or group that the last part of a dotted name means, or None; choices are left to find_choice."""
    synonym = SYNONYMS.get(normalize_word(name.rpartition(".")[2]))
    return None if synonym is None or "=" in synonym else synonym


def find_choice(name: str, value: str = "true") -> str | None:
    """Return the choice, such as normalization=batch, that a switch of other tools means, or None.

    Args:
        name: the dotted name of the switch as it was typed.
        value: its value as it was typed.
    """
    synonym = SYNONYMS.get(normalize_word(name.rpartition(".")[2]))
    if synonym is None or "=" not in synonym:
        return None
    group = synonym.partition("=")[0]
    is_off = value.lower() in _SWITCHED_OFF
    choices_off = {"normalization": "normalization=none", "mixing": "mixing=none", "device": "device=cpu"}
    return choices_off.get(group) if is_off else synonym
