"""The looks of report pages: readable on a phone, a projector and paper, by day and by night."""

STYLE = """
:root { --ink: #1c2430; --soft: #566070; --line: #dde2e9; --paper: #fbfcfd; --card: #ffffff; --accent: #0067a3;
  --tint: #eef4f9; --good: #1a7a4c; --bad: #b3372b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf0; --soft: #a3adba; --line: #303844; --paper: #14181d;
  --card: #1b2027; --accent: #6cb8ea; --tint: #1d2731; --good: #5cc894; --bad: #f08a7e; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 17px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif; }
header, main, footer { max-width: 58rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 3rem; }
h1 { font-size: clamp(1.9rem, 5vw, 2.7rem); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .8rem; }
h2 { font-size: 1.55rem; line-height: 1.25; letter-spacing: -.01em; margin: 0 0 .8rem; }
.lead { font-size: 1.12rem; color: var(--soft); max-width: 44rem; margin: 0 0 .6rem; }
p { margin: 0 0 1rem; max-width: 44rem; }
a { color: var(--accent); }
code { font: .88em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  background: var(--tint); border-radius: 4px; padding: .08em .3em; }
.tiles { list-style: none; display: grid; grid-template-columns: repeat(auto-fit, minmax(9.6rem, 1fr)); gap: .8rem;
  margin: 1.6rem 0; padding: 0; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .9rem 1rem; }
.tiles b { display: block; font-size: 1.65rem; line-height: 1.2; letter-spacing: -.02em; color: var(--accent);
  font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .88rem; line-height: 1.35; display: block; margin-top: .2rem; }
nav ol { columns: 2; column-gap: 2rem; padding-left: 1.4rem; margin: 0 0 1rem; }
nav li { break-inside: avoid; margin: .1rem 0; }
@media (max-width: 40rem) { nav ol { columns: 1; } }
section { border-top: 1px solid var(--line); padding: 2.4rem 0 1.4rem; }
.number { color: var(--accent); font-variant-numeric: tabular-nums; margin-right: .3rem; }
.equation { background: var(--tint); border-left: 3px solid var(--accent); border-radius: 0 8px 8px 0;
  padding: .8rem 1.1rem; margin: 0 0 1.1rem; overflow-x: auto; }
.equation span { font: 1.12rem/1.5 "STIX Two Math", "Cambria Math", Cambria, Georgia, "DejaVu Serif", serif;
  white-space: pre; display: block; }
@media (max-width: 40rem) { .equation span { white-space: pre-wrap; } }
.equation small { color: var(--soft); font-size: .86rem; line-height: 1.45; display: block; margin-top: .2rem; }
figure { margin: 0 0 1.2rem; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 10px; padding: 6px; }
@media (prefers-color-scheme: dark) { figure img { filter: brightness(.92); } }
figcaption { color: var(--soft); font-size: .9rem; line-height: 1.45; margin-top: .45rem; max-width: 44rem; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15.5rem), 1fr)); gap: 0 1.2rem;
  align-items: start; }
.scroll { overflow-x: auto; margin: 0 0 1.2rem; }
table { border-collapse: collapse; font-size: .94rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .4rem; }
th, td { padding: .42rem .9rem .42rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; font-size: .86rem; }
tbody th { font-weight: 500; }
.checks { list-style: none; margin: 0 0 1.2rem; padding: .8rem 1.1rem; border: 1px solid var(--line);
  border-radius: 10px; background: var(--card); }
.checks li { display: grid; grid-template-columns: 1.6rem 1fr; margin: .15rem 0; }
.checks span { font-weight: 700; }
.yes span { color: var(--good); } .no, .no span { color: var(--bad); }
.error { color: var(--bad); border: 1px solid var(--bad); border-radius: 10px; padding: .8rem 1.1rem; }
.protocol { font-size: .9rem; line-height: 1.5; color: var(--soft); }
.protocol p { margin: 0 0 .3rem; }
pre { background: var(--tint); border-radius: 8px; padding: .7rem .9rem; margin: 0 0 .4rem; overflow-x: auto;
  color: var(--ink); }
pre code { background: none; padding: 0; font-size: .84rem; }
footer { border-top: 1px solid var(--line); color: var(--soft); font-size: .88rem; padding-top: 1.2rem;
  padding-bottom: 3rem; }
footer p { max-width: none; margin: 0 0 .4rem; }
.still { display: none; }
@media print, (prefers-reduced-motion: reduce) { .film { display: none; } .still { display: block; } }
@media print {
  :root { --ink: #000; --soft: #444; --line: #ccc; --paper: #fff; --card: #fff; --accent: #004f7e; --tint: #f3f5f7;
    --good: #0b5f38; --bad: #8c241a; }
  @page { margin: 16mm; }
  body { font-size: 10.5pt; }
  header { padding-top: 0; }
  nav { display: none; }
  section { padding: 1.2rem 0 .6rem; }
  h2 { break-after: avoid; }
  figure, table, .equation, .checks, .protocol { break-inside: avoid; }
  .row { grid-template-columns: none; grid-auto-flow: column; grid-auto-columns: 1fr; }
  .equation { overflow: visible; } .equation span { white-space: pre-wrap; }
  figure img { filter: none; max-height: 11cm; width: auto !important; }
  pre { white-space: pre-wrap; word-break: break-all; }
}
"""
