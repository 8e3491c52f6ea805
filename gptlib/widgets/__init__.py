"""Interactive views, each paired with a static figure for readers of the page.

A view is shown with ``view.show()``; it computes in the browser, so it answers at once, works with
the keyboard alone and needs nothing from the network. ``view.value`` is what it shows, in Python.
"""

from gptlib.widgets.base import WIDGET_VIEW, InteractiveView
from gptlib.widgets.heads import AttentionHeads
from gptlib.widgets.merges import BPEMergeStepper, merge_steps
from gptlib.widgets.probe import CausalProbe, outputs_moved
from gptlib.widgets.replay import SamplesOverTime
from gptlib.widgets.sampler import SamplingExplorer

__all__ = [
    "WIDGET_VIEW",
    "AttentionHeads",
    "BPEMergeStepper",
    "CausalProbe",
    "InteractiveView",
    "SamplesOverTime",
    "SamplingExplorer",
    "merge_steps",
    "outputs_moved",
]
