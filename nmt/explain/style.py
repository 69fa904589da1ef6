"""How the page looks: on a wide screen, on a phone, in the dark, on paper. Colour never says what nothing else says."""

from __future__ import annotations

from nmt.explain.matrix import LEVELS

_SHADES = "\n".join(f".a{level} {{ --a: {0.62 * level / LEVELS:.2f} }}" for level in range(1, LEVELS + 1))

STYLE = (
    """
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1a1a; --soft: #555; --line: #ccc; --faint: #eee;
  --heat: 0 90 180; --doubt: 230 120 0; --link: #0050a0 }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #15171a; --ink: #ececec; --soft: #aaa; --line: #4a4d52; --faint: #292c31;
    --heat: 70 150 255; --doubt: 255 150 40; --link: #8ec5ff }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 66rem; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1.2rem; margin: 0 0 .5rem }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
a { color: var(--link) }
section { margin: 2rem 0; padding-top: 1rem; border-top: 2px solid var(--line) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 0 }
dt { color: var(--soft); font-size: .85rem; padding-top: .15rem } dd { margin: 0; min-width: 0 }
.text { font-size: 1.1rem }
.note { color: var(--soft); font-size: .85rem }
.blank, .special { font-style: italic; color: var(--soft) } .special { text-decoration: underline dotted }
.parts { display: flex; flex-wrap: wrap; gap: 0 2.5rem; align-items: flex-start }
.parts > div { flex: 1 1 24rem; min-width: 0 } .parts > .wide { flex: 0 1 auto; max-width: 100% }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem }
th, td { text-align: start; vertical-align: top }
.steps, .all { width: 100% }
.steps th, .steps td, .all th, .all td { padding: .2rem .5rem .2rem 0; border-bottom: 1px solid var(--line) }
.steps tbody th, .all tbody td { font-weight: normal }
th { overflow-wrap: break-word }
.steps .bar { width: 6.5rem; padding-right: 1rem; text-align: right;
  background: linear-gradient(90deg, rgb(var(--heat) / .35) var(--p), transparent var(--p)) no-repeat 0 .25em /
    calc(100% - .7rem) 1.3em }
.steps .not td, .steps .not th { color: var(--soft) }
td i { font-style: normal; color: var(--soft); white-space: nowrap }
.scroll { overflow: auto; max-height: 90vh; max-width: 100% }
.matrix { table-layout: fixed; width: calc(var(--n) * 2em + 7em); line-height: 1.2; overflow-wrap: anywhere;
  font-size: clamp(9px, calc((100vw - 2.2rem) / (var(--n) * 2 + 7)), .78rem) }
.matrix th { font-weight: normal; position: sticky; background: var(--paper) }
.matrix thead th { top: 0; z-index: 1; height: 1px; padding: .3em 0; text-align: start; vertical-align: bottom }
.matrix thead th bdi { display: block; max-height: 9em; margin: 0 auto; overflow: hidden; white-space: nowrap;
  writing-mode: vertical-rl; transform: rotate(180deg) }
.matrix thead td { width: 7em } .matrix tbody th { left: 0; padding: .25em .4em .25em 0; text-align: end;
  border-bottom: 1px solid var(--faint) }
.matrix tbody td { height: 2em; padding: 0; text-align: center; vertical-align: middle; border: 0;
  border-bottom: 1px solid var(--faint); white-space: nowrap;
  background: linear-gradient(rgb(var(--heat) / var(--a, 0)) 0 0),
    repeating-linear-gradient(90deg, var(--faint) 0 1px, transparent 1px 2em) }
.matrix tbody tr:hover th { font-weight: bold }
"""
    + _SHADES
    + """
.piece { display: inline-block; padding: 0 .2em; margin: .1em .15em .1em 0; border-radius: .2em;
  border-bottom: 2px solid transparent; background: rgb(var(--doubt) / var(--d, 0)) }
.d1 { --d: .15; border-bottom: 2px dotted rgb(var(--doubt)) }
.d2 { --d: .35; border-bottom: 2px dashed rgb(var(--doubt)) }
.d3 { --d: .6; border-bottom: 3px double var(--ink) }
.swatch { display: inline-block; width: 1.6em; height: 1.2em; line-height: 1.2em; text-align: center; font-size: .8em;
  background: rgb(var(--heat) / var(--a)) }
.bar, .piece, .swatch, .matrix td { print-color-adjust: exact; -webkit-print-color-adjust: exact }
@media screen and (max-width: 40rem) {
  body { padding: .8rem } dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .4rem }
  .steps, .all { font-size: .8rem; table-layout: fixed } .steps th { overflow-wrap: anywhere }
  .steps thead th, .all thead th { font-size: .72rem; width: 28% } .steps thead th:first-child { width: 23% }
  .steps thead th:nth-child(2), .all thead th:nth-child(n + 3) { width: 22% }
  .all thead th:first-child { width: 2.2em } .all thead th:nth-child(2) { width: auto }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt } a { color: inherit; text-decoration: none }
  section, .parts > .wide { break-inside: avoid } section { margin: 1rem 0; padding-top: .5rem }
  .parts { display: block } .scroll { overflow: visible; max-height: none } .matrix th { position: static }
  .matrix { font-size: min(7.5pt, calc(170mm / (var(--n) * 2 + 7)), calc(200mm / (var(--m) * 2.1 + 9))) }
  .steps th, .steps td { padding-top: .05rem; padding-bottom: .05rem } .steps .bar { background-position-y: .1em }
  h3 { margin-top: .5rem } details:not([open]) { display: none }
  tr, dl { break-inside: avoid } h2, h3 { break-after: avoid }
}
"""
).strip()
