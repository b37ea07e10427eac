"""What the printed report says, read back with another library."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from fractions import Fraction

import pypdfium2
import pytest
from pyhanko.pdf_utils.reader import PdfFileReader

from her2core.errors import SigningError
from her2core.records import IHC, Exclusion
from her2core.reporting import pdf as printing
from her2core.reporting.content import NOT_CLEARED, Laboratory, NucleusRow, ReportContent, ReportKind, Thumbnail
from her2core.reporting.layout import COLUMN_WIDTH, CONTENT_WIDTH, MARGIN, local_time
from her2core.reporting.pdf import render_report
from her2core.scoring.tally import cep17_per_nucleus, copy_number, ratio, truncated
from tests.reporting import samples

REPORTS: dict[str, Callable[[], ReportContent]] = {
    **{f"group {group}": lambda group=group: samples.group_report(group) for group in range(1, 6)},  # type: ignore[misc]
    "heterogeneous": samples.heterogeneous_report,
    "indeterminate": samples.indeterminate_report,
    "adjudicated": samples.adjudicated_report,
    "amended": samples.amended_report,
    "preliminary": samples.preliminary_report,
}


def pages_of(pdf: bytes) -> list[str]:
    """Text of each page, white space made single."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [" ".join(page.get_textpage().get_text_bounded().split()) for page in document]
    finally:
        document.close()


def text_of(content: ReportContent) -> str:
    return " ".join(pages_of(render_report(content)))


@pytest.fixture(scope="module", params=list(REPORTS))
def report(request: pytest.FixtureRequest) -> tuple[ReportContent, list[str]]:
    content = REPORTS[request.param]()
    return content, pages_of(render_report(content))


def test_every_page_names_patient_accession_page_and_what_it_is_not(report: tuple[ReportContent, list[str]]) -> None:
    content, pages = report
    for number, page in enumerate(pages, 1):
        assert f"{content.details.patient_name} · ID {content.details.patient_id} · born 09 Mar 1961" in page
        assert f"accession {content.details.accession}" in page
        assert f"page {number} of {len(pages)}" in page
        assert NOT_CLEARED in page
        assert f"Report {content.number} · version {content.version}" in page


def test_the_headline_comes_before_everything_else(report: tuple[ReportContent, list[str]]) -> None:
    content, pages = report
    text = " ".join(pages)
    result, _, basis = content.headline.partition(":")
    order = [result, basis.strip(), "Patient", "Counts", "How the result was reached", "Statements"]
    order += ["Use of artificial intelligence", "Signature", "List of nuclei"]
    at = [text.index(part) for part in order]
    assert at == sorted(at)


def test_every_number_of_every_population_and_reader_is_printed(report: tuple[ReportContent, list[str]]) -> None:
    content, pages = report
    counts = pages[0].split("Counts")[1].split("How the result")[0]
    for population in content.populations:
        for t in (population.tally, *(count.tally for count in population.observers)):
            line = [str(t.n), str(t.her2), str(t.cep17), truncated(copy_number(t))]
            line += [truncated(cep17_per_nucleus(t)), truncated(ratio(t))]
            # In reading order, intervals between them.
            assert re.search(r"\b" + r"\b.*?\b".join(map(re.escape, line)) + r"\b", counts), line
        for interval in (population.copy_number_95, population.ratio_95):
            assert interval is not None
            low, high = (truncated(Fraction(round(end * 1000), 1000)) for end in interval)
            assert f"({low}–{high})" in counts
        group = "–" if population.group is None else f"Group {population.group}"
        assert group in counts


def test_work_up_comment_statements_and_exclusions_are_printed(report: tuple[ReportContent, list[str]]) -> None:
    content, pages = report
    text = " ".join(pages)
    for population in content.populations:
        for step in population.path:
            assert step in text
        assert (population.comment or "") in text
    for alert in content.alerts:
        assert alert in text
    said = (content.heterogeneity, content.single_cells, content.clusters, content.suitability, content.cross_check)
    for statement in said:
        assert statement in text
    assert content.guideline in text
    assert "12 (no CEP17 signal 3, overlaps another nucleus 5, cut by the image edge 4)" in text


def test_case_assay_and_laboratory_are_printed(report: tuple[ReportContent, list[str]]) -> None:
    content, pages = report
    text = pages[0]
    for said in ("core biopsy", "left breast, upper outer quadrant", "A2", "25 min", "within the guideline", "18 h"):
        assert said in text
    for said in ("HER2/CEP17 dual-colour FISH kit", "L-20931, 30 Jun 2027", "hybridised as expected", "4 µm"):
        assert said in text
    laboratory = content.laboratory
    for said in (laboratory.name, laboratory.address, laboratory.accreditation, laboratory.director):
        assert said in text


def test_the_ai_disclosure_names_models_hashes_and_edits(report: tuple[ReportContent, list[str]]) -> None:
    content, pages = report
    text = " ".join(pages)
    for model in content.ai.models:
        assert f"{model.name} {model.version}" in text
        assert model.sha256 in text
    assert "counts signals by density" in text
    assert (
        "A person changed the counts of 4 nuclei, added 1 nucleus, left out 2 that the models had scored and scored 1 "
        "that the models had left out."
    ) in text
    assert f"found by the models: {content.ai.found}" in text
    assert content.audit_head in text


def test_of_a_model_that_was_stored_with_a_shortened_hash_no_digit_is_guessed() -> None:
    content = samples.group_report(5)
    assert "digits recorded" not in text_of(content)
    models = tuple(replace(model, sha256=model.sha256[:12]) for model in content.ai.models)
    shortened = replace(content, ai=replace(content.ai, models=models))
    assert "3f3f3f3f3f3f… (first 12 digits recorded)" in text_of(shortened)


def test_the_signature_block_says_who_as_what_meaning_what_and_when(report: tuple[ReportContent, list[str]]) -> None:
    content, pages = report
    text = " ".join(pages)
    if content.kind is ReportKind.PRELIMINARY:
        assert "Not signed: this is a preliminary report." in text
    for person in content.signatories:
        assert f"{person.name}, {person.credentials}" in text
        assert person.role in text
        assert f"Meaning: {person.meaning}" in text
        assert "Signed: 24 Nov 2026, 10:03:05 +01:00" in text


def test_every_nucleus_is_listed_with_ai_and_final_counts() -> None:
    rows = (
        NucleusRow("A1", 901, "A", 11, 12, 13, 14, True, edited=True, clustered=True),
        NucleusRow("A2", 902, "A", 21, 0, 21, 0, False, Exclusion.NO_CEP17),
        NucleusRow("A3", 903, "A", None, None, 33, 34, True, added=True),
        NucleusRow("A4", 904, "A", None, None, None, None, False, Exclusion.UNCOUNTABLE),
    )
    text = text_of(replace(samples.group_report(1), nuclei=rows))
    assert "4 nuclei, 2 of them scored" in text
    assert "✱ behind a HER2 count: clustered, an estimate." in text
    for line in ("901 11 12 13✱ 14 E", "902 21 0 (21) (0) no CEP17 signal", "903 – – 33 34 N", "904 – – – –"):
        assert line in text


def test_the_parts_of_a_line_of_the_list_do_not_run_into_each_other() -> None:
    rows = tuple(NucleusRow("LONGNAME", 10_000, "A", 100, 100, 100, 100, False, reason) for reason in Exclusion)
    rows += (NucleusRow("B12", 9_999, "A", 100, 100, 100, 100, True, None, True, True, True),)
    text = text_of(replace(samples.group_report(1), nuclei=rows))
    for reason in Exclusion:
        assert f"LON… 10000 100 100 (100) (100) {reason.value}" in text
    assert "B12 9999 100 100 100✱ 100 EN" in text


def test_a_list_of_many_nuclei_prints_every_one_once() -> None:
    rows = tuple(NucleusRow("A1", 10_000 + i, "A", 2, 2, 2, 2, True) for i in range(800))
    text = text_of(replace(samples.group_report(5), nuclei=rows))
    numbers = [int(number) for number in re.findall(r"\bA1 (1\d{4})\b", text)]
    assert numbers == list(range(10_000, 10_800))


def test_an_amended_report_says_so_why_what_changed_and_what_it_replaces() -> None:
    content = samples.amended_report()
    text = text_of(content)
    assert "AMENDED REPORT · replaces report 26-00412 version 1" in text
    assert "version 2 · AMENDED" in text
    assert f"Reason: {content.reason}" in text
    assert content.replaces is not None
    assert content.replaces.sha256 in text
    assert "It said: HER2 negative: ISH Group 5" in text
    for change in content.changes:
        assert f"Changed: {change}" in text


def test_an_addendum_adds_and_does_not_replace() -> None:
    text = text_of(replace(samples.amended_report(), kind=ReportKind.ADDENDUM))
    assert "ADDENDUM · adds to report 26-00412 version 1" in text
    assert "replaces" not in text


def test_a_preliminary_report_is_marked_on_every_page_and_has_no_field_to_sign() -> None:
    pdf = render_report(samples.preliminary_report())
    pages = pages_of(pdf)
    assert "PRELIMINARY REPORT" in pages[0]
    assert all("PRELIMINARY" in page for page in pages)
    assert "not final: pending IHC" in pages[0]
    assert "the report is not signed yet" in " ".join(pages)
    assert b"/Sig" not in pdf


def test_a_demonstration_says_on_every_page_that_the_patient_is_invented() -> None:
    pages = pages_of(render_report(replace(samples.group_report(1), demonstration=True)))
    assert all("invented patient" in page for page in pages)


@pytest.mark.parametrize(
    ("hours", "minutes", "said"),
    [
        (6, 60, "within the guideline"),
        (72, 0, "within the guideline"),
        (5.9, 10, "fixation outside 6–72 h"),
        (72.5, 61, "fixation outside 6–72 h; cold ischaemia above 1 h"),
        (None, 10, "not fully recorded"),
        (5, None, "fixation outside 6–72 h"),
    ],
)
def test_fixation_and_ischaemia_are_held_against_the_guideline(
    hours: float | None, minutes: float | None, said: str
) -> None:
    details = replace(samples.DETAILS, fixation_hours=hours, cold_ischaemia_min=minutes)
    assert said in text_of(replace(samples.group_report(1), details=details, thumbnails=(), nuclei=()))


def test_what_was_not_recorded_is_said_and_not_left_blank() -> None:
    details = replace(
        samples.DETAILS, date_of_birth=None, block="", probe_lot="", probe_expiry=None, controls_ok=None, requester=""
    )
    text = text_of(replace(samples.group_report(1), details=details))
    for label in ("Born", "Block", "Requester", "Controls", "Lot, expiry"):
        assert f"{label} not recorded" in text


def test_controls_that_failed_stand_out() -> None:
    details = replace(samples.DETAILS, controls_ok=False)
    assert "Controls NOT as expected" in text_of(replace(samples.group_report(5), details=details))


@pytest.mark.parametrize(
    "name",
    [
        "O'Brien & Sons <b>bold</b> &amp; </para>",
        "Łukasz Žižka-Şahin",
        "Ελένη Παπαδοπούλου",
        "Анна Ковалёва",
        "Արամ Խաչատրյան",
        "დავით კლდიაშვილი",
        "汪伟",
        "山田 花子",
        "한지민",
    ],
)
def test_names_in_other_scripts_and_with_markup_print_as_they_are(name: str) -> None:
    details = replace(samples.DETAILS, patient_name=name)
    pages = pages_of(render_report(replace(samples.group_report(5), details=details)))
    assert all(name in page for page in pages)


def test_all_free_text_is_escaped() -> None:
    evil = "<b>&lt;x</b> <img src='/etc/passwd'/> ]]> %s {0}"
    content = samples.group_report(1)
    content = replace(
        content,
        laboratory=Laboratory(evil, evil, evil, evil),
        details=replace(
            samples.DETAILS, requester=evil, specimen=evil, site=evil, block=evil, fixative=evil, probe_lot=evil
        ),
        heterogeneity=evil,
        single_cells=evil,
        clusters=evil,
        suitability=evil,
        interpretation=evil,
        notes=(evil,),
        alerts=(evil,),
        thumbnails=(Thumbnail(samples.picture(), evil),),
        signatories=(replace(content.signatories[0], name=evil, credentials=evil, meaning=evil),),
        assay_type=evil,
        number=evil,
    )
    text = text_of(content)
    assert text.count("<img src='/etc/passwd'/>") >= 10


@pytest.mark.parametrize("field", ["interpretation", "heterogeneity"])
def test_long_texts_flow_over_pages(field: str) -> None:
    words = " ".join(f"word{i}" for i in range(3_000))
    text = text_of(replace(samples.group_report(1), **{field: words}))  # type: ignore[arg-type]
    found = re.findall(r"word\d+", text)
    assert found == words.split()


def test_a_text_that_cannot_be_laid_out_is_refused_in_words() -> None:
    details = replace(samples.DETAILS, requester="x" * 40_000)
    with pytest.raises(SigningError, match="too long"):
        render_report(replace(samples.group_report(1), details=details))


def test_a_long_name_is_printed_to_its_end_on_every_page() -> None:
    name = " ".join(["Maria", *(f"de la Cruz{i}" for i in range(25)), "End"])
    details = replace(samples.DETAILS, patient_name=name, patient_id="7" * 60)
    pages = pages_of(render_report(replace(samples.group_report(1), details=details)))
    assert all(name in page and "7" * 60 in page and NOT_CLEARED in page for page in pages)


def test_a_picture_that_is_none_is_refused() -> None:
    with pytest.raises(SigningError, match="picture"):
        render_report(replace(samples.group_report(1), thumbnails=(Thumbnail(b"not an image", "x"),)))


def test_the_same_content_gives_the_same_bytes_in_another_process_and_zone() -> None:
    here = hashlib.sha256(render_report(samples.amended_report())).hexdigest()
    script = (
        "import hashlib\n"
        "from her2core.reporting.pdf import render_report\n"
        "from tests.reporting import samples\n"
        "print(hashlib.sha256(render_report(samples.amended_report())).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PYTHONPATH": "."}
    there = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert there.strip() == here


def test_other_content_gives_other_bytes() -> None:
    content = samples.group_report(1)
    assert render_report(content) != render_report(replace(content, audit_head="d5" * 32))


def test_the_file_has_title_language_date_and_embedded_fonts() -> None:
    pdf = render_report(samples.group_report(1))
    document = pypdfium2.PdfDocument(pdf)
    metadata = document.get_metadata_dict()
    document.close()
    assert metadata["Title"] == "HER2 FISH report 26-00412 version 1 (final)"
    assert metadata["Author"] == samples.LABORATORY.name
    assert metadata["CreationDate"].startswith("D:20261124090305")
    assert samples.DETAILS.patient_name not in str(metadata)
    reader = PdfFileReader(io.BytesIO(pdf))
    assert reader.root["/Lang"] == "en"
    assert reader.root["/ViewerPreferences"]["/DisplayDocTitle"]
    fonts = reader.root["/Pages"]["/Kids"][0]["/Resources"]["/Font"]
    assert fonts
    assert all("/FontFile2" in fonts[name]["/FontDescriptor"] for name in fonts)


def test_a_time_is_printed_with_its_zone() -> None:
    assert local_time(samples.SIGNED_AT) == "24 Nov 2026, 10:03:05 +01:00"


def test_ihc_and_its_sample_are_printed() -> None:
    content = samples.group_report(3)
    assert "2+, on the same tissue sample" in text_of(content)
    details = replace(samples.DETAILS, ihc=IHC.ZERO_PLUS, ihc_same_sample=False, collected_on=date(2026, 2, 1))
    text = text_of(replace(samples.group_report(5), details=details, populations=content.populations[:1]))
    assert "0+, on another tissue sample" in text or "2+, on another tissue sample" in text


@pytest.mark.parametrize("reason", Exclusion)
def test_every_reason_for_leaving_a_nucleus_out_ends_within_its_column(reason: Exclusion) -> None:
    rows = tuple(NucleusRow("A1", number, "A", 2, 2, 2, 2, False, reason) for number in (1, 2))
    document = pypdfium2.PdfDocument(render_report(replace(samples.group_report(5), exclusions=(), nuclei=rows)))
    ends = []
    for page in document:
        text = page.get_textpage()
        search = text.search(f"(2) {reason.value}")
        while (found := search.get_next()) is not None:
            ends.append(text.get_charbox(sum(found) - 1)[2])
    document.close()
    assert len(ends) == 2
    assert MARGIN < min(ends) <= MARGIN + COLUMN_WIDTH
    assert max(ends) <= MARGIN + CONTENT_WIDTH


def test_a_report_gives_way_where_its_last_page_would_be_nearly_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows closer together, or pictures behind what the models did; every nucleus is there either way."""

    def pages(content: ReportContent) -> list[str]:
        return pages_of(render_report(content))

    contents = [samples.group_report(4), samples.amended_report(), samples.heterogeneous_report()]
    given_way = [pages(content) for content in contents]
    monkeypatch.setattr(printing, "_OTHERWISE", ())
    stiff = [pages(content) for content in contents]
    assert [len(found) for found in given_way] == [2, 2, 2]
    assert [len(found) for found in stiff] == [3, 3, 3]
    for content, found in zip(contents, given_way, strict=True):
        text = " ".join(found)
        assert all(f"{row.region} {row.number} " in text for row in content.nuclei)
        assert "Images" in text


def test_which_regions_have_no_picture_is_printed_with_the_pictures() -> None:
    note = "Pictured: 2 of 6 counted regions (A1, A2), those with the most scored nuclei."
    assert note in text_of(replace(samples.group_report(1), pictures_note=note))


def test_pictures_that_do_not_fit_leave_no_wide_gap() -> None:
    """What the models did comes before them then, and both are on their page."""
    rows = tuple(NucleusRow("A1", number, "A", 2, 2, 2, 2, True) for number in range(1, 120))
    pages = pages_of(render_report(replace(samples.heterogeneous_report(), nuclei=rows)))
    assert "Use of artificial intelligence" in pages[0]
    assert "Images" in pages[1]


def test_pictures_take_what_is_left_of_the_page_and_one_picture_is_large() -> None:
    content = samples.group_report(5)

    def widths(count: int) -> list[float]:
        document = pypdfium2.PdfDocument(render_report(replace(content, thumbnails=content.thumbnails[:1] * count)))
        try:
            first = document[0]
            return [
                bounds[2] - bounds[0]
                for item in first.get_objects()
                if item.type == 3
                for bounds in [item.get_bounds()]
            ]
        finally:
            document.close()

    (alone,), pair = widths(1), widths(2)
    assert len(pair) == 2
    assert alone > 1.2 * pair[0]


def test_a_single_population_that_is_all_of_the_tumour_has_no_share() -> None:
    (population,) = samples.group_report(5).populations
    whole = replace(samples.group_report(5), populations=(replace(population, share_percent=100.0),))
    assert "100 % of tumour cells" not in text_of(whole)
    assert "35 % of tumour cells" in text_of(samples.heterogeneous_report())
