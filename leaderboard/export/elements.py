"""Pieces of HTML. Text is escaped here and nowhere else: every function takes plain text, :class:`Markup` passes.

Pages need no server, no other host and no script. The one script sorts tables for those who have scripts on; its hash
is the only one that the page's own policy lets run.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2430;--soft:#5b6472;--line:#d5d9e0;--band:#f5f6f8;--link:#0b57d0;
--mark:#9a3412;--mark-paper:#ffedd5;--good:#166534;--bad:#b91c1c}
@media(prefers-color-scheme:dark){:root{--paper:#14171d;--ink:#e6e8ec;--soft:#a2abb8;--line:#39404d;--band:#1d222b;
--link:#8ab4f8;--mark:#fdba74;--mark-paper:#43260f;--good:#86efac;--bad:#fca5a5}}
body{margin:0 auto;max-width:100rem;padding:1.5rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
a{color:var(--link)}h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.25rem;margin-top:2.5rem}
h1,h2,h3,td,p,li,dd{overflow-wrap:anywhere}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}
caption{text-align:left;padding:.6rem .75rem;color:var(--soft);font-size:.9rem}
th,td{padding:.4rem .75rem;border-top:1px solid var(--line);text-align:left;vertical-align:top}
thead th{background:var(--band);font-weight:600;vertical-align:bottom}
th[scope=row]{font-weight:600;min-width:14rem;max-width:20rem;overflow-wrap:anywhere}
.sortable th[scope=row]{position:sticky;left:0;background:var(--paper)}p,dl,ul{max-width:60rem}nav ul{max-width:none}
.number{text-align:right;white-space:nowrap}td.level,td.rank,span.right,span.wrong{white-space:nowrap}
.scroll tr:is(.pinned,.withdrawn) :is(td,th){background:var(--band);color:var(--soft)}
tr.withdrawn .number{text-decoration:line-through}
.soft{color:var(--soft);font-weight:400;font-size:.9rem}
button.sort{all:unset;cursor:pointer;font-weight:600}button.sort:focus-visible{outline:2px solid var(--link)}
mark{background:var(--mark-paper);color:var(--mark);text-decoration:underline;border-radius:3px;padding:0 .15em}
.story{border-top:1px solid var(--line);padding:1rem 0;max-width:60rem}figure{margin:0 0 1rem}
.story img{display:block;width:100%;height:auto;border-radius:6px}figcaption{font-weight:600;margin-bottom:.25rem}
.captions{display:grid;grid-template-columns:repeat(var(--n,5),minmax(0,1fr));padding:0;margin:.25rem 0;list-style:none}
.captions li{padding:0 .5rem 0 0;font-size:.9rem}
.right{color:var(--good)}.wrong{color:var(--bad)}
pre{background:var(--band);padding:.75rem;border-radius:6px;overflow-x:auto;white-space:pre-wrap}
dt{font-weight:600}dd{margin:0 0 .5rem}nav ul{display:flex;flex-wrap:wrap;gap:.3rem 1.25rem;padding:0;list-style:none}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem}
""".strip()
SCRIPT = """
document.querySelectorAll("table.sortable").forEach(function(table){
table.querySelectorAll("thead th").forEach(function(head,column){
var button=document.createElement("button");button.className="sort";button.type="button";
while(head.firstChild)button.appendChild(head.firstChild);head.appendChild(button);
button.addEventListener("click",function(){
var up=head.getAttribute("aria-sort")==="descending";
table.querySelectorAll("thead th").forEach(function(h){h.removeAttribute("aria-sort")});
head.setAttribute("aria-sort",up?"ascending":"descending");
var body=table.querySelector("tbody.ranked"),rows=Array.from(body.rows);
function key(row){var cell=row.cells[column],v=cell.getAttribute("data-v");
return v===null?cell.textContent:v===""?null:Number(v)}
rows.sort(function(a,b){var x=key(a),y=key(b);
if(x===null||y===null)return(x===null)-(y===null);
var order=typeof x==="number"&&typeof y==="number"?x-y:String(x).localeCompare(String(y));return up?order:-order});
rows.forEach(function(row){body.appendChild(row)})})})});
""".strip()
_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = f"default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'sha256-{_HASH}'"


class Markup(str):
    """HTML that was made here and is not escaped again."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Return anything as HTML: markup as it is, all else escaped."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def tag(name: str, /, *content: object, **attributes: object) -> Markup:
    """Return an element. Attributes that are None are left out; ``class_`` is ``class``, ``_`` is ``-``."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(text(each) for each in content)
    return Markup(f"<{name}{given}>" if name in ("img", "meta", "link") else f"<{name}{given}>{inner}</{name}>")


def join(parts: Iterable[object], by: str = "\n") -> Markup:
    """Return pieces one after the other."""
    return Markup(by.join(text(part) for part in parts))


def link(href: str, *content: object) -> Markup:
    """Return a link to a file of the export, or to an https address."""
    return tag("a", *content, href=href, rel="noopener nofollow" if href.startswith("https:") else None)


def head_row(*cells: tuple[str, str | None, str | None]) -> Markup:
    """Return the head of a table from (text, class, title) of each column."""
    ths = (tag("th", name, scope="col", class_=kind, title=title) for name, kind, title in cells)
    return tag("thead", tag("tr", *ths))


def table(caption: object, head: Markup, *bodies: Markup, sortable: bool = False) -> Markup:
    """Return a table that scrolls sideways in a region of its own, which a keyboard reaches."""
    label = caption if isinstance(caption, str) and not isinstance(caption, Markup) else "table"
    whole = tag("table", tag("caption", caption), head, *bodies, class_="sortable" if sortable else None)
    return tag("div", whole, class_="scroll", role="region", aria_label=label, tabindex="0")


def document(title: str, body: Markup, navigation: Markup, *, scripted: bool = False) -> bytes:
    """Return a whole page."""
    script = Markup(f"<script>{SCRIPT}</script>") if scripted else ""
    page = join(
        [
            Markup('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'),
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            Markup(f"<style>{STYLE}</style>\n</head>\n<body>"),
            tag("a", "Skip to the content", class_="skip", href="#main"),
            tag("header", tag("nav", navigation, aria_label="Pages")),
            Markup('<main id="main">'),
            tag("h1", title),
            body,
            Markup("</main>"),
            script,
            Markup("</body>\n</html>\n"),
        ]
    )
    return page.encode()
