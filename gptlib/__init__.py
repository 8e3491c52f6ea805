"""gptlib: the small exact library under The GPT Lineage.

Importing the package loads nothing heavy beyond torch; each room is imported by name,
for example ``from gptlib.model import GPT, GPTConfig``. Plotting, widgets and the
classroom live on the upper floors and are never imported from below.
"""

__version__ = "0.1.0"
