"""Review, attestations, recounts and adjudications."""

import pytest

from her2core.caselog import RecountedNucleus, StatementKind
from her2core.errors import CaseLogError, PermissionDeniedError, ScoringError, WrongStateError
from her2core.records import Case, CaseState, Tally
from tests.caselog.lab import Lab


@pytest.fixture
def pending(lab: Lab) -> Case:
    case, _ = lab.analysed()
    lab.log.mark_reviewed(case.id, case.version, lab.anna)
    return lab.log.set_state(case.id, CaseState.PENDING_RECOUNT, lab.anna)


def test_confirming_the_review_makes_an_analysed_case_reviewed(lab: Lab) -> None:
    case, _ = lab.analysed()
    lab.clock.pass_by(minutes=1)
    assert lab.log.mark_reviewed(case.id, case.version, lab.anna).state is CaseState.REVIEWED
    statement = lab.log.statement(case.id, StatementKind.REVIEWED)
    assert statement is not None
    assert (statement.by_user_id, statement.at) == (lab.anna.id, lab.clock.time)


def test_a_draft_cannot_be_reviewed(lab: Lab) -> None:
    case = lab.draft()
    with pytest.raises(WrongStateError, match="Analyse"):
        lab.log.mark_reviewed(case.id, case.version, lab.anna)


def test_the_latest_statement_counts_and_earlier_ones_are_kept(lab: Lab) -> None:
    case = lab.draft()
    assert not lab.log.no_discordance_attested(case.id)
    assert lab.log.indeterminate_reasons(case.id) == ()
    lab.log.attest_no_discordance(case.id, lab.anna, True)
    assert lab.log.no_discordance_attested(case.id)
    lab.log.attest_no_discordance(case.id, lab.ben, False)
    assert not lab.log.no_discordance_attested(case.id)
    lab.log.set_indeterminate_reasons(case.id, ("weak signals", "autofluorescence"), lab.anna)
    assert lab.log.indeterminate_reasons(case.id) == ("weak signals", "autofluorescence")
    lab.log.set_indeterminate_reasons(case.id, (), lab.anna)
    assert lab.log.indeterminate_reasons(case.id) == ()
    assert len([entry for entry in lab.log.audit(case.id) if entry.action.startswith("stated")]) == 4


def test_comments_and_acknowledgements_are_told_apart_by_subject(lab: Lab) -> None:
    case = lab.draft()
    lab.log.set_comment(case.id, "A", "first", lab.anna)
    lab.log.set_comment(case.id, "B", "other", lab.anna)
    lab.log.set_comment(case.id, "A", "second", lab.anna)
    lab.log.acknowledge(case.id, "ratio near 2", "The ratio is near 2.", lab.anna)
    found = {(s.kind, s.subject): s.value["text"] for s in lab.log.statements(case.id)}
    assert found == {
        (StatementKind.COMMENT, "A"): "second",
        (StatementKind.COMMENT, "B"): "other",
        (StatementKind.ACKNOWLEDGED, "ratio near 2"): "The ratio is near 2.",
    }


def test_a_recount_by_another_pathologist_is_kept(lab: Lab, pending: Case) -> None:
    counted = (RecountedNucleus(1, 0, 5, 2), RecountedNucleus(1, 1, 6, 3))
    recount = lab.log.save_recount(pending.id, "A", Tally(2, 11, 5), lab.ben, nuclei=counted)
    assert lab.log.recounts(pending.id) == [recount]
    assert (recount.observer_id, recount.blinded, recount.tally) == (lab.ben.id, True, Tally(2, 11, 5))
    assert recount.nuclei == counted


def test_who_counted_first_does_not_recount(lab: Lab, pending: Case) -> None:
    assert lab.log.first_observers(pending.id) == {lab.anna.id}
    with pytest.raises(PermissionDeniedError, match="another pathologist"):
        lab.log.save_recount(pending.id, "A", Tally(20, 80, 40), lab.anna)
    lab.correct(lab.log.regions(pending.id)[0], by=lab.ben)
    assert lab.log.first_observers(pending.id) == {lab.anna.id, lab.ben.id}
    with pytest.raises(PermissionDeniedError, match="another pathologist"):
        lab.log.save_recount(pending.id, "A", Tally(20, 80, 40), lab.ben)


def test_a_recount_that_does_not_add_up_is_refused(lab: Lab, pending: Case) -> None:
    with pytest.raises(ScoringError, match="add up"):
        lab.log.save_recount(pending.id, "A", Tally(1, 5, 3), lab.ben, nuclei=(RecountedNucleus(1, 0, 5, 2),))


def test_recount_and_adjudication_come_only_when_due(lab: Lab, pending: Case) -> None:
    with pytest.raises(WrongStateError, match="No adjudication"):
        lab.log.save_adjudication(pending.id, "A", "positive", 1, "both slides reviewed", lab.anna)
    lab.log.set_state(pending.id, CaseState.READY, lab.anna)
    with pytest.raises(WrongStateError, match="No recount"):
        lab.log.save_recount(pending.id, "A", Tally(20, 80, 40), lab.ben)


def test_an_adjudication_is_kept_with_its_reason(lab: Lab, pending: Case) -> None:
    lab.log.set_state(pending.id, CaseState.PENDING_ADJUDICATION, lab.anna)
    made = lab.log.save_adjudication(pending.id, "A", "positive", 1, "both slides reviewed", lab.ben)
    assert lab.log.adjudications(pending.id) == [made]
    assert (made.category, made.group, made.reason, made.by_user_id) == (
        "positive",
        1,
        "both slides reviewed",
        lab.ben.id,
    )


@pytest.mark.parametrize(
    ("population", "category", "group", "reason"),
    [("A", "equivocal", 1, "why"), ("A", "positive", 0, "why"), ("A", "positive", 1, " "), ("B", "positive", 1, "why")],
)
def test_an_adjudication_that_cannot_be_is_refused(
    lab: Lab, pending: Case, population: str, category: str, group: int, reason: str
) -> None:
    lab.log.set_state(pending.id, CaseState.PENDING_ADJUDICATION, lab.anna)
    with pytest.raises(CaseLogError):
        lab.log.save_adjudication(pending.id, population, category, group, reason, lab.anna)


def test_wrong_roles_state_nothing(lab: Lab, pending: Case) -> None:
    for user in (lab.manager, lab.admin):
        with pytest.raises(PermissionDeniedError):
            lab.log.mark_reviewed(pending.id, pending.version, user)
        with pytest.raises(PermissionDeniedError):
            lab.log.attest_no_discordance(pending.id, user)
        with pytest.raises(PermissionDeniedError):
            lab.log.save_recount(pending.id, "A", Tally(20, 80, 40), user)
        with pytest.raises(PermissionDeniedError):
            lab.log.save_adjudication(pending.id, "A", "positive", 1, "why", user)


def test_nothing_is_stated_about_a_signed_case(lab: Lab) -> None:
    case, _ = lab.signed()
    with pytest.raises(WrongStateError, match="signed"):
        lab.log.attest_no_discordance(case.id, lab.anna)
    with pytest.raises(WrongStateError, match="signed"):
        lab.log.save_recount(case.id, "A", Tally(20, 80, 40), lab.ben)
