"""How all plots look: small, readable on white and on black, the same bytes for the same figures."""

GREY = "#808890"


def use() -> None:
    """Sets it, before matplotlib.pyplot is imported. Whoever draws nothing does not need matplotlib."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({
        "svg.fonttype": "none",
        "svg.hashsalt": "gitops-status-server",
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "text.color": GREY,
        "axes.edgecolor": GREY,
        "axes.labelcolor": GREY,
        "axes.titlecolor": GREY,
        "xtick.color": GREY,
        "ytick.color": GREY,
    })
