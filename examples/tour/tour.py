# %% [markdown]
# # regexp in a notebook
#
# Which regularizer helps, by how much, and is the difference real? This notebook trains, sweeps, compares, plots, looks
# at augmentation and classifies a picture. It trains on the 1,797 handwritten digits that come with scikit-learn, and
# takes under a minute on a processor. Run it again: nothing is trained a second time.

# %%
from regexp import compare, draw_augmentation, load_runs, run, sweep

# %% [markdown]
# ## Train
#
# Keys and groups are those of the command line. A dictionary or keywords set them; in a keyword, two underscores stand
# for a dot. The output below the cell is updated while the network trains. Interrupt the kernel if you like: the same
# cell then goes on from the last epoch.

# %%
trained_run = run({"normalization": "batch", "optimizer.lr": 0.003}, epochs=30)

# %% [markdown]
# The run is recorded in a directory. It knows how it ended, and its figures after every epoch.

# %%
trained_run

# %%
trained_run.status, trained_run.summary["test"], trained_run.metrics[-1]["val_loss"]

# %% [markdown]
# ## Look at augmentation
#
# The first row shows training images, the rows below four draws of the augmentation for each.

# %%
draw_augmentation(augmentation="strong")

# %% [markdown]
# ## Sweep
#
# A dictionary of lists is a grid: every combination is trained, many of them together in one training loop.

# %%
grid = {"normalization": ["none", "batch"], "augmentation": ["none", "affine"], "seed": range(3)}
runs = sweep(grid, epochs=20)

# %% [markdown]
# ## Compare
#
# Rows are means over seeds. Differences are paired by seed and tested, with Holm's correction.

# %%
rows = compare(runs, baseline={"normalization": "none", "augmentation": "none"})
rows

# %% [markdown]
# Each row is a dictionary, and so is each run, and each epoch of each run: `pandas.DataFrame(rows)`,
# `pandas.DataFrame(runs.records())` and `pandas.DataFrame(runs.epochs())` are tables.

# %%
[(row["normalization"], row["augmentation"], round(row["test_accuracy"], 3), row["verdict"]) for row in rows]

# %% [markdown]
# ## Plot

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 3.5))
colors = {"none": "tab:orange", "batch": "tab:blue"}
for member in runs:
    if member.config["seed"] == 0:
        normalization, augmented = member.config["normalization"], "augmentation.affine.degrees" in member.config
        label = f"{normalization}, {'affine' if augmented else 'none'}"
        epochs, losses = zip(*((row["epoch"], row["val_loss"]) for row in member.metrics), strict=True)
        axes.plot(epochs, losses, color=colors[normalization], linestyle="--" if augmented else "-", label=label)
axes.set(xlabel="epoch", ylabel="validation loss (nats)", yscale="log")
axes.legend(title="normalization, augmentation")
plt.show()

# %% [markdown]
# ## Classify a picture
#
# Runs are found again by their directory. The best one by validation reads a picture as it was trained to.

# %%
from PIL import Image
from sklearn.datasets import load_digits

Image.fromarray((load_digits().images[42] * 255 / 16).astype("uint8")).save("picture.png")
finished_runs = [member for member in load_runs("outputs/default") if member.summary is not None]
best_run = max(finished_runs, key=lambda member: member.summary["best"]["val_accuracy"])
predictions = best_run.predict("picture.png")
predictions

# %% [markdown]
# `predictions.labels` and `predictions.probabilities` are the classes and a NumPy array; arrays are classified like
# pictures: `best_run.predict(images)`.
