/* The page: which part is shown (by the address behind #), the colours, and when it is ready. */
"use strict";
(() => {
  const { el, views, plots } = gemforest;
  const THEMES = ["auto", "light", "dark"];
  const TITLES = { overview: "Overview", collection: "Collection", genome: "One genome", compare: "Compare" };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = new Map();
  let core = null, theme = "auto", turn = 0;

  function remembered() {
    try { return localStorage.getItem("gemforest-theme") || "auto"; } catch { return "auto"; }
  }

  function paint(printing = false) {
    const dark = !printing && (theme === "dark" || (theme === "auto" && system.matches));
    document.documentElement.dataset.dark = String(dark);
    const button = document.getElementById("theme");
    button.textContent = { auto: "◐", light: "☀", dark: "☾" }[theme];
    button.setAttribute("aria-label", { auto: "Colours: as the system", light: "Colours: light", dark: "Colours: dark" }[theme]);
    button.title = button.getAttribute("aria-label");
    plots.redrawAll();
    for (const place of document.querySelectorAll(".drawn")) place.drawAgain();
  }

  function route() {
    const [page, ...rest] = location.hash.slice(1).split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
    return [TITLES[page] ? page : "overview", ...rest];
  }

  async function show() {
    const mine = (turn += 1);
    const [page, ...rest] = route();
    for (const link of document.querySelectorAll("nav a")) {
      if (link.getAttribute("href") === `#${page}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    for (const name of Object.keys(TITLES)) document.getElementById(`view-${name}`).hidden = name !== page;
    const section = document.getElementById(`view-${page}`);
    document.title = `${rest[0] ? `${rest.filter(Boolean).join(" – ")} · ` : ""}${TITLES[page]} · gemforest report`;
    const address = rest.join("/");
    if (kept.get(page) === address) { window.scrollTo(0, 0); return; }
    section.replaceChildren(el("p", { class: "busy", role: "status" }, "Loading …"));
    let nodes;
    try {
      nodes = await views[page](core, ...rest);
    } catch (error) {
      nodes = [el("h1", {}, TITLES[page]), el("p", { class: "note warn" }, error.message)];
    }
    if (mine !== turn) return;
    section.replaceChildren(...nodes.flat().filter(Boolean));
    kept.set(page, address);
    window.scrollTo(0, 0);
    document.documentElement.dataset.shown = location.hash;
  }

  async function start() {
    theme = remembered();
    paint();
    document.getElementById("theme").addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try { localStorage.setItem("gemforest-theme", theme); } catch { /* a page from a folder may not keep anything */ }
      paint();
    });
    system.addEventListener("change", () => paint());
    window.addEventListener("beforeprint", () => paint(true));
    window.addEventListener("afterprint", () => paint());
    try {
      core = await gemforest.load("core");
    } catch (error) {
      document.getElementById("view-overview").hidden = false;
      document.getElementById("view-overview").append(el("p", { class: "note warn" }, `The data of this page cannot be read: ${error.message}. A browser of 2023 or later is needed.`));
      return;
    }
    core.places = new Map(core.genomes.map((id, place) => [id, place]));
    const names = new Map(core.reactions.map((id, place) => [id, core.reaction_names[place]]));
    core.nameOf = (id) => names.get(id) || "";
    document.getElementById("foot").append(`gemforest ${core.version}. Fluxes in mmol gDW⁻¹ h⁻¹, growth in h⁻¹. Drawn with D3, Observable Plot and TanStack Table; nothing was loaded from the network.`);
    window.addEventListener("hashchange", show);
    await show();
    document.documentElement.dataset.ready = "true";
    performance.mark("gemforest-ready");
  }

  start();
})();
