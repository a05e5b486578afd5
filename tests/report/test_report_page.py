"""The report in a real browser: what it shows agrees with the tables, it asks nobody, and a hostile name stays text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from forest_atlas import answer, held, is_stopped, make_forest
from reader import Reader, chromium

from gemforest.report import write_report
from gemforest.stage import Context

HOSTILE = {0: "<script>window.cracked = 1</script>", 1: '"><img src=x onerror="window.cracked = 2">'}
SMALL, LARGE = 9, 10_000
AXE = Path(__file__).with_name("axe.min.js")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Context:
    context = make_forest(tmp_path_factory.mktemp("small") / "project", SMALL, names=HOSTILE)
    write_report(context)
    return context


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Context:
    context = make_forest(tmp_path_factory.mktemp("large") / "project", LARGE, accessory=20, names=HOSTILE)
    write_report(context)
    return context


@pytest.fixture
def read(browser: Any) -> Iterator[Callable[..., Reader]]:
    opened: list[Reader] = []

    def open_(context: Context, **options: Any) -> Reader:
        page = browser.new_context(**options).new_page()
        opened.append(Reader(page, context.store.root.resolve() / "report"))
        return opened[-1]

    yield open_
    for reader in opened:
        reader.page.context.close()
        assert reader.troubles == []


def test_ten_figures_of_the_page_are_those_of_the_parquet_files(small: Context, read: Callable[..., Reader]) -> None:
    def ask(sql: str) -> Any:
        return duckdb.sql(sql.replace("@", f"'{small.store.root}/atlas/").replace("$", "/shard=*.parquet'")).fetchall()

    reader = read(small)
    stopped = ask("SELECT count(*) FROM @ledger$ WHERE outcome NOT IN ('ok', 'skipped_upstream')")[0][0]
    genomes = ask("SELECT count(DISTINCT genome_id) FROM @ledger$")[0][0]
    assert reader.tile("overview", "genomes in the plan") == str(genomes)
    assert reader.tile("overview", "through every stage") == str(genomes - stopped)
    assert reader.tile("overview", "stopped, with a reason") == str(stopped)
    medians = ask("SELECT median(reactions), median(genes) FROM @summary$")[0]
    assert float(reader.tile("overview", "reactions in a model")) == pytest.approx(medians[0], rel=5e-3)
    assert float(reader.tile("overview", "genes in a model")) == pytest.approx(medians[1], rel=5e-3)
    growing, models = ask("SELECT sum((growth_per_h >= 0.01)::int), count(*) FROM @summary$")[0]
    assert reader.tile("overview", "models grow on their medium") == f"{growing} of {models}"

    reader.go("collection", "text=Reactions of the collection")
    by_name = dict(zip(reader.cells("Models at a glance", 1), reader.cells("Models at a glance", 7), strict=True))
    assert {k: int(v) for k, v in by_name.items() if v != "–"} == dict(
        ask("SELECT genome_id, reactions FROM @summary$")
    )

    who = "genome_00002"
    reader.go(f"genome/{who}", "text=Quality of the model")
    growth, essential = ask(
        f"SELECT growth_per_h, (SELECT count(*) FROM @knockouts$ WHERE genome_id = '{who}' AND essential) "
        f"FROM @summary$ WHERE genome_id = '{who}'"
    )[0]
    assert float(reader.tile("genome", "growth on M9")) == pytest.approx(growth, rel=5e-3)
    told = reader.page.locator("#view-genome caption", has_text="Essential:").inner_text()
    assert told == f"Essential: {essential} of 10 genes tried"
    accepted = ask(f"SELECT count(*) FROM @gene_reactions$ WHERE genome_id = '{who}' AND decision = 'accepted'")[0][0]
    assert f"{accepted} calls of" in reader.page.locator("figure", has_text="What accepted calls rest on").inner_text()
    uptake = ask(f"SELECT flux FROM @fba$ WHERE genome_id = '{who}' AND reaction = 'EX_o2_e'")[0][0]
    fluxes = dict(zip(reader.cells("Uptake", 1), reader.cells("Uptake", 2), strict=True))
    assert float(fluxes["EX_o2_e"].replace("−", "-")) == uptake

    reader.go("compare/genome_00002/genome_00003", "text=Reactions of one and not the other")
    sets = [
        {
            r
            for (r,) in ask(f"SELECT reaction FROM @model_reactions$ WHERE genome_id = '{g}'")
            if not r.startswith("EX_")
        }
        for g in (who, "genome_00003")
    ]
    legend = reader.page.locator("#view-compare .legend").first.inner_text()
    assert f"only {who}: {len(sets[0] - sets[1])} " in legend
    assert f"both: {len(sets[0] & sets[1])} " in legend


def test_names_from_the_sheet_and_headers_stay_text(small: Context, read: Callable[..., Reader]) -> None:
    reader = read(small)
    for address, wait in (
        ("collection", "text=Reactions of the collection"),
        ("genome/genome_00000", "text=Quality of the model"),
        ("genome/genome_00001", "text=Quality of the model"),
        ("compare/genome_00000/genome_00001", "text=Side by side"),
    ):
        reader.go(address, wait)
        reader.page.wait_for_timeout(100)
    assert reader.page.evaluate("window.cracked") is None
    shown = reader.page.locator("#view-compare").inner_text()
    assert HOSTILE[0] in shown
    assert HOSTILE[1] in shown
    reader.go("genome/genome_00000", "text=Essential:")
    assert "<b>phosphofructokinase</b> & others" in reader.page.locator("#view-genome").inner_text()
    source = (small.store.root / "report" / "index.html").read_text()
    assert "window.cracked" not in source
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?(https?:)?//", source)


def test_the_genome_page_shows_conflicts_fills_enzymes_ranges_and_the_map(
    small: Context, read: Callable[..., Reader]
) -> None:
    reader = read(small)
    filled = next(n for n in range(SMALL) if "ACC0001" in held(n, 40) and not is_stopped(n))
    reader.go(f"genome/genome_{filled:05d}", "text=Quality of the model")
    assert reader.cells("Reactions added so that the genome grows", 3) == ["thm_c"]
    assert reader.cells("Conflicts to look at", 1) == ["gene_5"]
    assert reader.cells("Tiers", 1) == ["measured", "predicted", "global"]
    assert reader.cells("Tiers", 2) == ["1", "2", "1"]
    ranges = reader.page.locator("figure", has_text="Flux ranges, aerobic").inner_text()
    assert "With enzyme constraints" in ranges
    drawn = reader.page.locator("#view-genome .map svg").text_content()
    assert "GLCpts 10" in drawn
    assert "PGK 17" in drawn
    reader.page.get_by_label("Solution").select_option(label="aerobic on M9, enzyme-constrained")
    assert "PGK 8.50" in reader.page.locator("#view-genome .map svg").text_content()


def test_two_runs_stand_beside_each_other(small: Context, tmp_path: Path, read: Callable[..., Reader]) -> None:
    later = make_forest(tmp_path / "project", SMALL, accessory=30)
    write_report(later, compare=small.store.root)
    reader = read(later)
    reader.go("compare", "text=Reactions gained and lost")
    models = [n for n in range(SMALL) if not is_stopped(n)]
    lost = sum(len(held(n, 40)) - len(held(n, 30)) for n in models)
    assert reader.tile("compare", "reactions lost") == f"−{lost}"
    assert reader.tile("compare", "reactions gained") == "+0"
    assert reader.tile("compare", "genomes in both runs") == str(len(models))


def test_a_stopped_genome_says_where_why_and_what_to_do(small: Context, read: Callable[..., Reader]) -> None:
    reader = read(small)
    assert reader.cells("Genomes that were stopped", 1) == ["genome_00007"]
    assert "draft.min_reactions" in reader.cells("Genomes that were stopped", 6)[0]
    reader.page.locator("a:visible", has_text="genome_00007").first.click()
    reader.page.wait_for_selector("text=Stopped at draft")
    assert "No fluxes" in reader.page.locator("#view-genome").inner_text()


EVERYTHING = "{resultTypes: ['violations']}"
CONTRAST = "{resultTypes: ['violations'], runOnly: ['color-contrast']}"
PAGES = (
    ("overview", "text=Run facts"),
    ("collection", "text=Reactions of the collection"),
    ("genome/genome_00002", "text=Quality of the model"),
    ("compare/genome_00002/genome_00003", "text=Side by side"),
)


@pytest.mark.parametrize(
    ("options", "rules", "pages"),
    [
        ({"color_scheme": "light"}, EVERYTHING, PAGES),
        ({"color_scheme": "dark"}, CONTRAST, PAGES[::2]),
        ({"viewport": {"width": 390, "height": 800}}, EVERYTHING, PAGES[:1]),
    ],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing_serious(
    small: Context, read: Callable[..., Reader], options: Any, rules: str, pages: Any
) -> None:
    reader = read(small, **options)
    reader.page.evaluate(AXE.read_text())
    for address, wait in pages:
        reader.go(address, wait)
        reader.page.wait_for_timeout(200)
        assert serious(reader, rules) == {}, address
    # axe is at work: what is wrong is found.
    reader.page.evaluate(
        "document.querySelector('section:not([hidden]) .lead').style = 'color: #888; background: #999'"
    )
    assert "color-contrast" in serious(reader, rules)


def serious(reader: Reader, rules: str) -> dict[str, list[str]]:
    """Findings of axe that count: rule to the elements it names."""
    return {
        finding["id"]: [node["html"][:200] for node in finding["nodes"][:3]]
        for finding in reader.page.evaluate(f"axe.run({rules})")["violations"]
        if finding["impact"] in ("serious", "critical")
    }


def test_nothing_runs_out_of_a_phone_screen(small: Context, read: Callable[..., Reader]) -> None:
    reader = read(small, viewport={"width": 390, "height": 800})
    for address, wait in PAGES:
        reader.go(address, wait)
        reader.page.wait_for_timeout(100)
        wide = reader.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, address


def test_ten_thousand_genomes_sort_filter_open_and_compare(large: Context, read: Callable[..., Reader]) -> None:
    reader = read(large)
    page = reader.page
    stopped = sum(map(is_stopped, range(LARGE)))
    assert reader.tile("overview", "stopped, with a reason") == str(stopped)
    page.get_by_role("link", name="Collection").click()
    page.wait_for_selector("text=Reactions of the collection")
    models = page.locator(".tablebox", has=page.locator("caption", has_text="Models at a glance"))
    assert models.locator("tbody tr").count() == 25
    models.locator("thead button", has_text="reactions").first.click()
    most = max(len(held(n, 20)) for n in range(LARGE) if not is_stopped(n))
    assert reader.cells("Models at a glance", 7)[0] == str(most)
    models.get_by_label("filter genome", exact=True).fill("genome_0123")
    models.get_by_label("filter outcome").fill("ok")
    kept = [n for n in range(1230, 1240) if not is_stopped(n)]
    assert f"{len(kept)} of 10" in models.locator(".count").inner_text()
    sizes = [int(text) for text in reader.cells("Models at a glance", 7)]
    assert sizes == sorted((len(held(n, 20)) for n in kept), reverse=True)
    page.locator("a:visible", has_text="genome_01234").first.click()
    page.wait_for_selector("text=Growth and other screens")
    grown = sum(answer(1234, place) == "growth" for place in range(10))
    assert reader.tile("genome", "carbon sources") == str(grown)
    page.get_by_role("link", name="compare", exact=True).click()
    page.wait_for_selector("text=Reactions of one and not the other")
    assert page.url.endswith("#compare/genome_01234/genome_01235")


def test_a_second_report_makes_only_the_sidecars_whose_parts_have_changed(tmp_path: Path) -> None:
    context = make_forest(tmp_path / "project", 45, shard_size=15)
    write_report(context)
    folder = context.store.root / "report" / "genomes"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert sorted(before) == ["shard=0000.js", "shard=0001.js", "shard=0002.js"]
    (folder / "shard=9999.js").write_text("left by a plan of more shards")
    context.store.atlas_path("screens", "0001").touch()
    write_report(context)
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    # Its parts say the same, so the text is the same but for the stamp of what it was made of.
    assert {name for name in after if after[name] != before.get(name)} == {"shard=0001.js"}
