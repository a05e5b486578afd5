rule report:
    input:
        f"{forest.root}/atlas/atlas.duckdb",
    output:
        report(
            f"{forest.root}/report/index.html",
            category="report",
            caption="../report/caption.rst",
        ),
    log:
        "logs/report.log",
    conda:
        "../../envs/native.yaml"
    threads: 2
    params:
        config=forest.config_path,
    shell:
        "gemforest report --cores {threads} --config {params.config} 2> {log}"


# Each as SVG, which `snakemake --report` carries too, and as PNG.
rule figures:
    input:
        f"{forest.root}/atlas/atlas.duckdb",
    output:
        *[
            report(
                path,
                caption=f"../report/{Path(path).stem}.rst",
                category="Figures",
                labels={"figure": label},
            )
            for path, label in forest.figures("svg").items()
        ],
        *forest.figures("png"),
    log:
        "logs/figures.log",
    conda:
        "../../envs/native.yaml"
    params:
        config=forest.config_path,
    shell:
        "gemforest plot --config {params.config} > /dev/null 2> {log}"
