"""A notebook as one HTML page that needs no network and runs no script.

nbconvert's page loads MathJax, require.js and mermaid from servers. Here these parts of its
template are empty, and formulas become MathML, which browsers draw (and screen readers read)
by themselves. Folded answers stay folded on the screen and open on paper.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import Any

from gptlib.notebook_form import normalise

_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock html_head_js -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}{%- endblock html_head_js_mermaidjs -%}
{%- block extra_css -%}
<style>
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
math[display="block"] { margin: 0.8em 0; }
figure { margin: 0.5rem 0; } figure img { max-width: 100%; height: auto; }
.math-source { font-family: monospace; }
details { margin: 0.8em 0; } details > summary { cursor: pointer; }
@media print {
  main { max-width: none; }
  details::details-content { content-visibility: visible; }
  figure, table, pre { break-inside: avoid; }
}
</style>
{%- endblock extra_css -%}
"""


def page(nb: dict, title: str, folder: str | Path = ".") -> str:
    """The page of a notebook. Local images of Markdown cells (under `folder`) are put into it."""
    import nbformat

    exporter = _exporter()(raw_template=_TEMPLATE, embed_images=True)
    node = nbformat.from_dict(normalise(nb))
    resources = {"metadata": {"name": title, "path": str(folder)}}
    text, _ = exporter.from_notebook_node(node, resources=resources)
    return text


def formula(tex: str, display: bool) -> str:
    """TeX as MathML. Where the converter is missing or cannot read it, the TeX itself is shown."""
    tex = html.unescape(tex).strip()
    try:
        from latex2mathml.converter import convert

        return convert(tex, display="block" if display else "inline")
    except ModuleNotFoundError:
        reason = "latex2mathml is not installed, so formulas are shown as TeX"
    except Exception as error:  # the converter has no common base class for bad TeX
        reason = f"shown as TeX, because it cannot be converted ({error!r}): {tex}"
    print(reason, file=sys.stderr)
    tag = "p" if display else "span"
    return f'<{tag} class="math-source">{html.escape(tex)}</{tag}>'


def _exporter() -> type:
    """nbconvert's HTML exporter with another way to write formulas (imported when needed)."""
    from jinja2 import pass_context
    from nbconvert.exporters import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class MathMLRenderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return formula(body, display=True)

        def inline_math(self, body: str) -> str:
            return formula(body, display=False)

        def latex_environment(self, name: str, body: str) -> str:
            return formula(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

        def _html_embed_images(self, html: str) -> str:
            # nbconvert parses each piece and closes its tags, so a <details> whose answer is
            # Markdown would end before the answer. Only the sources of images change here.
            return re.sub(
                r"(<img\b[^>]*?\bsrc=)([\"'])(.*?)\2",
                lambda hit: f'{hit[1]}"{self._src_to_base64(hit[3]) or hit[3]}"',
                html,
                flags=re.S,
            )

    class OfflineHTMLExporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context: Any, source: str) -> str:
            renderer = MathMLRenderer(
                escape=False,
                attachments=context.get("cell", {}).get("attachments", {}),
                embed_images=self.embed_images,
                path=context.get("resources", {}).get("metadata", {}).get("path", ""),
                anchor_link_text=self.anchor_link_text,
                exclude_anchor_links=self.exclude_anchor_links,
            )
            return MarkdownWithMath(renderer=renderer).render(source)

    return OfflineHTMLExporter
