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
