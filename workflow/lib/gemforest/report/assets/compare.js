/* Compare: two genomes of this run, and this run with an earlier one. */
"use strict";
gemforest.views.compare = (() => {
  const { el, fmt, unit, percent, plural, tile, heading, hrefs, table, plots, empty } = gemforest;
  const HOW = { g: "with genes", f: "gap-filled", n: "without genes" };

  async function genomes(core, a, b) {
    const { chooser, details } = gemforest.views.genome;
    const go = (x, y) => { location.hash = hrefs.compare(x, y); };
    const chooseA = chooser(core, "First genome", a, (name) => go(name, b || core.genomes.find((g) => g !== name) || name));
    const chooseB = chooser(core, "Second genome", b, (name) => go(a || core.genomes.find((g) => g !== name) || name, name));
    const head = [...heading("Two genomes", "Reactions that one has and the other has not, and growth calls that differ."), el("div", { class: "controls" }, chooseA, chooseB, a && b ? el("a", { href: hrefs.compare(b, a) }, "swap") : null)];
    if (!core.places.has(a) || !core.places.has(b)) return head;
    const [first, second] = await Promise.all([details(core, a), details(core, b)]);
    return [...head, sideBySide(core, a, b), ...reactions(core, a, b, first, second), ...calls(core, a, b, first, second)];
  }

  function sideBySide(core, a, b) {
    const [i, j] = [core.places.get(a), core.places.get(b)];
    const rows = core.columns.filter((c) => c.key !== "genome_id" && [c.values[i], c.values[j]].some((v) => v !== null && v !== ""));
    return table({ caption: "Side by side", rows, pageSize: 50, columns: [
      { key: "what", title: "what", kind: "id", value: (c) => c.title, cell: (c, v) => [v, c.unit ? el("small", {}, ` ${unit(c.unit)}`) : ""] },
      { key: "a", title: a, kind: "number", value: (c) => c.values[i] }, { key: "b", title: b, kind: "number", value: (c) => c.values[j] },
      { key: "d", title: "difference", kind: "number", value: (c) => (c.kind === "number" && c.values[i] !== null && c.values[j] !== null ? c.values[j] - c.values[i] : null), cell: (_, v) => (v > 0 ? `+${fmt(v)}` : fmt(v)) }] });
  }

  function reactions(core, a, b, first, second) {
    if (!first.model || !second.model) return [el("p", { class: "note" }, "One of the two has no model, so there are no reactions to compare.")];
    const how = (d) => new Map(d.model.reactions.map((place, k) => [d.ids[place], d.model.letters[k]]).filter(([r]) => !r.startsWith("EX_")));
    const x = how(first), y = how(second);
    const onlyA = [...x.keys()].filter((p) => !y.has(p)), onlyB = [...y.keys()].filter((p) => !x.has(p)), both = [...x.keys()].filter((p) => y.has(p));
    const parts = [{ name: `only ${a}`, value: onlyA.length, colour: "c0" }, { name: "both", value: both.length, colour: "c8" }, { name: `only ${b}`, value: onlyB.length, colour: "c1" }];
    const figure = plots.figure("Reactions", `Similarity (shared over all): ${percent(both.length / Math.max(1, both.length + onlyA.length + onlyB.length), 1)}; exchanges left out.`, (width) => plots.strip(parts, { width, label: "reactions" }), { height: 80 });
    figure.append(plots.stripLegend(parts));
    return [el("div", { class: "below" }, figure), el("div", { class: "below" }, table({ caption: "Reactions of one and not the other", filters: true, rows: [...onlyA.map((p) => [p, a, x.get(p)]), ...onlyB.map((p) => [p, b, y.get(p)])], columns: [
      { key: "reaction", title: "reaction", kind: "id", value: (r) => r[0] }, { key: "name", title: "name", kind: "text", value: (r) => core.nameOf(r[0]) },
      { key: "in", title: "only in", kind: "category", value: (r) => r[1] }, { key: "how", title: "there", kind: "category", value: (r) => HOW[r[2]] }] }))];
  }

  function calls(core, a, b, first, second) {
    if (!first.screens || !second.screens) return [];
    const answers = (d) => new Map(d.screens.rows.map((r) => [`${r[0]}\t${r[1]}\t${r[2]}`, r[3]]));
    const x = answers(first), y = answers(second);
    const differ = [...new Set([...x.keys(), ...y.keys()])].map((key) => [...key.split("\t"), x.get(key) || "not_in_model", y.get(key) || "not_in_model"]).filter((r) => r[3] !== r[4]);
    return [...heading("Answers that differ"), differ.length ? table({ caption: `${plural(differ.length, "answer")} of the screens`, filters: true, rows: differ, columns: [
      { key: "compound", title: "compound", kind: "id", value: (r) => r[2] }, { key: "name", title: "name", kind: "text", value: (r) => core.compound_names[r[2]] },
      { key: "screen", title: "screen", kind: "category", value: (r) => r[0] }, { key: "condition", title: "condition", kind: "category", value: (r) => r[1] },
      { key: "a", title: a, kind: "category", value: (r) => r[3].replaceAll("_", " ") }, { key: "b", title: b, kind: "category", value: (r) => r[4].replaceAll("_", " ") }] }) : empty("None.")];
  }

  function runs(core) {
    const c = core.comparison;
    const head = heading("Two runs", "What a change of the config, the data or the version did to the same genomes.");
    if (!c) return [...head, el("p", { class: "note" }, "To compare with an earlier run: ", el("code", {}, "gemforest report --compare OTHER_RESULTS"), ", where OTHER_RESULTS is the results folder of that run.")];
    const [gained, lost] = [d3.sum(c.genomes, (g) => g[1]), d3.sum(c.genomes, (g) => g[2])];
    return [...head, el("p", {}, "Before: ", el("code", {}, c.other)),
      el("div", { class: "tiles" }, tile(fmt(c.genomes.length), "genomes in both runs", [c.only_before.length ? `${fmt(c.only_before.length)} only before` : "", c.only_after.length ? `${fmt(c.only_after.length)} only now` : ""].filter(Boolean).join(", ")),
        tile(`+${fmt(gained)}`, "reactions gained", "all genomes together"), tile(`−${fmt(lost)}`, "reactions lost"), tile(fmt(c.flips_total), "answers of the screens flipped")),
      el("h3", {}, "Config"), c.config.length ? table({ caption: "Keys that differ", rows: c.config, columns: table.listColumns([["key", "id"], ["before", "text"], ["now", "text"]]) }) : empty("The same configuration."),
      el("div", { class: "below" }, table({ caption: "Genomes", filters: c.genomes.length > 10, rows: c.genomes, columns: table.listColumns([["genome", "id", { cell: (r) => el("a", { href: hrefs.genome(r[0]) }, r[0]) }], ["gained", "number"], ["lost", "number"], ["kept", "number"], ["growth before", "number", { unit: "h^-1" }], ["growth now", "number", { unit: "h^-1" }], ["answers flipped", "number"]]) })),
      el("div", { class: "below" }, c.reactions.length ? table({ caption: "Reactions gained and lost", filters: true, rows: c.reactions, sort: [{ id: "c1", desc: true }], columns: table.listColumns([["reaction", "id"], ["gained in", "number"], ["lost in", "number"]]) }) : empty("No reaction came or went.")),
      el("div", { class: "below" }, c.flips.length ? table({ caption: `Answers that flipped${c.flips.length < c.flips_total ? `, the first ${fmt(c.flips.length)}` : ""}`, filters: true, rows: c.flips, columns: table.listColumns([["genome", "id"], ["screen", "category"], ["condition", "category"], ["compound", "category"], ["before", "category"], ["now", "category"]]) }) : empty("No answer flipped."))];
  }

  return async (core, a, b) => [el("h1", {}, "Compare"), ...(await genomes(core, a, b)), ...runs(core)];
})();
