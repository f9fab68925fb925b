"""When and how a run was made and what it took, as the page tells it."""

import html
import os
from types import SimpleNamespace

import pytest
from stages import render_report

from refvessel.report.costs import read_costs
from refvessel.report.run_told import RunTold
from refvessel.settings.checked import checked_config
from refvessel.settings.published import published

HEADINGS = "s\th:m:s\tmax_rss\tmean_load\tcpu_time\n"


def evaluation(name: str, device: str | None):
    run = {} if device is None else {"run": {"device": device}}
    return SimpleNamespace(evaluation=SimpleNamespace(name=name), made_from=run)


def test_jobs_are_summed_by_stage_and_those_of_models_by_evaluation(tmp_path):
    for path, rows in {
        "convert/a.tsv": ["36\t0:00:36\t100.5\t90\t18"],
        "convert/b.tsv": ["36\t0:00:36\t200.5\t90\t18", "36\t0:00:36\t50\t90\t18"],
        "infer/m/d/test/1-of-2.tsv": ["7200\t2:00:00\t9000\t90\t3600"],
        "infer/m/d/test/2-of-2.tsv": ["3600\t1:00:00\t8000\t90\t-"],
        "infer/n/d/test/1-of-1.tsv": ["0.1\t0:00:00\tNA\tNA\tNA"],
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(HEADINGS + "".join(f"{row}\n" for row in rows))
        os.utime(tmp_path / path, (86_400 * 365, 86_400 * 365))  # a year after 1970 began
    known = [evaluation("m.d.test", "cuda"), evaluation("n.d.test", "cpu"), evaluation("o.d.test", None)]
    convert, gpu, cpu = read_costs(tmp_path, known)
    assert (convert.what, convert.jobs, convert.memory, convert.on_gpu) == ("convert", 3, 200.5, False)
    assert (convert.hours, convert.processor_hours) == pytest.approx((0.03, 0.015))
    assert (gpu.what, gpu.jobs, gpu.hours, gpu.processor_hours) == ("m.d.test", 2, 3, 1)
    assert (gpu.began, gpu.ended) == ("1970-12-31 22:00", "1971-01-01 00:00")
    assert gpu.on_gpu
    assert not cpu.on_gpu
    assert cpu.memory != cpu.memory


def test_without_measurements_nothing_is_told(tmp_path):
    assert read_costs(None, []) == read_costs(tmp_path / "none", []) == []


@pytest.mark.usefixtures("without_figures")
def test_the_page_tells_the_command_and_the_configuration_but_no_path(usual, tmp_path):
    """As text, whatever they are."""
    settings = checked_config(
        {
            "models": {
                "mine": {"base_mllm": "/home/her/base", "sam2": "/home/her/s.pt", "checkpoint": "/x.pth"}
            },
            "datasets": {"data": {"format": "coco", "root": "/home/her/data"}},
            "evaluations": [{"model": "mine", "dataset": "data", "split": "test"}],
            "inference": {"question": "<image>\n <script>alert(1)</script> {phrase}"},
        }
    )
    run = RunTold("snakemake --cores 2 --config <b>", published(settings))
    render_report(**usual.inputs, output=tmp_path / "report", run=run)
    page = (tmp_path / "report/index.html").read_text("utf-8")
    shown = page.partition("How it was run")[2].partition("</div>")[0]
    assert "<code>snakemake --cores 2 --config &lt;b&gt;</code>" in shown
    assert "<dt>models.mine.base_mllm</dt><dd>path, not published</dd>" in shown
    assert f"<dt>scores.bootstrap_draws</dt><dd>{settings.scores.bootstrap_draws}</dd>" in shown
    assert "<dt>evaluations.1.split</dt><dd>test</dd>" in shown
    assert "alert(1)" in html.unescape(shown)
    assert "<script>" not in shown
    assert "/home/her" not in page
