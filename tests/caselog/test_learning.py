"""Consent to training, promotions of models, and saved searches."""

from __future__ import annotations

import pytest

from her2core.caselog.saved import MOST_SAVED
from her2core.errors import CaseLogError, ConflictError, NotFoundError, PermissionDeniedError, WrongStateError
from tests.caselog.lab import Lab

FOLDER = "00112233445566aa"


def test_a_signed_case_teaches_once_a_lab_manager_says_so_and_not_before(lab: Lab) -> None:
    case, _ = lab.signed()
    assert lab.log.teaching_cases() == ()
    assert lab.log.state_consent([case.id], True, "informed consent on file", lab.manager) == 1
    assert lab.log.teaching_cases() == (case.id,)
    entry = lab.log.audit(case.id, limit=1)[0]
    assert (entry.action, entry.by_user_id) == ("given to training", lab.manager.id)


def test_consent_is_taken_back_and_the_last_word_counts(lab: Lab) -> None:
    case, _ = lab.signed()
    lab.log.state_consent([case.id], True, "on file", lab.manager)
    assert lab.log.state_consent([case.id], False, "the patient withdrew", lab.manager) == 1
    assert lab.log.teaching_cases() == ()
    consent = lab.log.consents()[case.id]
    assert (consent.given, consent.reason) == (False, "the patient withdrew")


def test_saying_the_same_again_records_nothing(lab: Lab) -> None:
    case, _ = lab.signed()
    lab.log.state_consent([case.id], True, "on file", lab.manager)
    head = lab.log.audit_head()
    assert lab.log.state_consent([case.id], True, "on file", lab.manager) == 0
    assert lab.log.audit_head() == head


def test_a_case_that_is_not_signed_cannot_teach(lab: Lab) -> None:
    case = lab.ready()
    with pytest.raises(WrongStateError, match="only signed cases teach"):
        lab.log.state_consent([case.id], True, "on file", lab.manager)


def test_a_case_that_is_open_for_amendment_waits(lab: Lab) -> None:
    case, _ = lab.signed()
    lab.log.state_consent([case.id], True, "on file", lab.manager)
    lab.log.open_amendment(case.id, "a nucleus was forgotten", case.version, lab.anna)
    assert lab.log.teaching_cases() == ()


@pytest.mark.parametrize("who", ["anna", "admin"])
def test_only_a_lab_manager_gives_cases_to_training_and_promotes(lab: Lab, who: str) -> None:
    case, _ = lab.signed()
    person = getattr(lab, who)
    with pytest.raises(PermissionDeniedError):
        lab.log.state_consent([case.id], True, "on file", person)
    with pytest.raises(PermissionDeniedError):
        lab.log.promote_models(FOLDER, {}, "better", person, after=None)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_reason_is_needed(lab: Lab, reason: str) -> None:
    case, _ = lab.signed()
    with pytest.raises(CaseLogError, match="reason"):
        lab.log.state_consent([case.id], True, reason, lab.manager)
    with pytest.raises(CaseLogError, match="reason"):
        lab.log.promote_models(FOLDER, {}, reason, lab.manager, after=None)


def test_an_unknown_case_is_told(lab: Lab) -> None:
    with pytest.raises(NotFoundError):
        lab.log.state_consent([99], True, "on file", lab.manager)


def test_the_last_promotion_is_in_force_and_a_roll_back_is_one_more_row(lab: Lab) -> None:
    assert lab.log.models_folder() == ""
    first = lab.log.promote_models(
        FOLDER, {"counter": "counter 4"}, "better here", lab.manager, after=None, comparison={"own": 0.9}
    )
    assert lab.log.models_folder() == FOLDER
    back = lab.log.promote_models("", {}, "worse on lot 7", lab.manager, after=first.id, rolled_back=True)
    assert lab.log.models_folder() == ""
    assert [(p.id, p.rolled_back) for p in lab.log.promotions()] == [(back.id, True), (first.id, False)]
    assert lab.log.promotions()[1].comparison == {"own": 0.9}
    assert lab.log.audit(limit=1)[0].action == "models rolled back"
    assert lab.log.check() == []


def test_who_did_not_see_the_last_promotion_does_not_replace_it(lab: Lab) -> None:
    first = lab.log.promote_models(FOLDER, {}, "better", lab.manager, after=None)
    with pytest.raises(ConflictError, match="meanwhile"):
        lab.log.promote_models("ffffffffffffffff", {}, "better", lab.manager, after=None)
    assert lab.log.promotions()[0].id == first.id


@pytest.mark.parametrize("folder", ["../outside", "0123", "0123456789ABCDEF", "/etc"])
def test_a_folder_has_no_other_name_than_digits(lab: Lab, folder: str) -> None:
    with pytest.raises(CaseLogError, match="hexadecimal"):
        lab.log.promote_models(folder, {}, "better", lab.manager, after=None)


def test_searches_are_kept_by_user_and_name(lab: Lab) -> None:
    lab.log.save_filter("last month", {"group": 4}, lab.manager)
    lab.log.save_filter("last month", {"group": 5}, lab.manager)
    lab.log.save_filter("mine", {}, lab.anna)
    assert lab.log.saved_filters(lab.manager) == {"last month": {"group": 5}}
    lab.log.delete_filter("last month", lab.manager)
    lab.log.delete_filter("last month", lab.manager)
    assert lab.log.saved_filters(lab.manager) == {}
    assert lab.log.saved_filters(lab.anna) == {"mine": {}}


def test_there_is_an_end_to_saved_searches_and_to_their_names(lab: Lab) -> None:
    for number in range(MOST_SAVED):
        lab.log.save_filter(f"search {number}", {}, lab.anna)
    with pytest.raises(CaseLogError, match="delete one first"):
        lab.log.save_filter("one more", {}, lab.anna)
    lab.log.save_filter("search 0", {"group": 1}, lab.anna)
    for name in ("", "x" * 61):
        with pytest.raises(CaseLogError, match="name of the search"):
            lab.log.save_filter(name, {}, lab.anna)


def test_a_case_that_is_handed_over_whole_says_whether_it_teaches(lab: Lab) -> None:
    case, _ = lab.signed()
    lab.log.state_consent([case.id], True, "on file", lab.manager)
    assert [row["given"] for row in lab.log.case_rows(case.id)["training_consents"]] == [1]
