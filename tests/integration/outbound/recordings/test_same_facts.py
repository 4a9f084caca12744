"""What holds on SQLite holds on PostgreSQL: the same tests, with the `desk` of this folder."""

from tests.unit.outbound.recordings.test_collector import (
    test_a_finished_recording_is_stored_told_of_and_deleted_from_the_spool,
    test_a_missing_recording_that_turns_up_is_kept_and_the_incident_closed,
    test_an_owner_who_hung_up_before_anything_was_said_leaves_nothing_to_keep,
    test_another_sound_under_a_kept_recordings_name_replaces_nothing,
    test_foreign_files_are_left_alone_and_a_person_is_told_until_they_are_gone,
    test_what_does_not_come_is_missed,
)
from tests.unit.outbound.recordings.test_crashes import (
    test_a_collector_that_is_killed_again_and_again_stores_everything_once,
    test_a_process_that_dies_at_any_step_loses_and_doubles_nothing,
    test_two_processes_that_share_a_spool_store_everything_once,
)

__all__ = [
    "test_a_collector_that_is_killed_again_and_again_stores_everything_once",
    "test_a_finished_recording_is_stored_told_of_and_deleted_from_the_spool",
    "test_a_missing_recording_that_turns_up_is_kept_and_the_incident_closed",
    "test_a_process_that_dies_at_any_step_loses_and_doubles_nothing",
    "test_an_owner_who_hung_up_before_anything_was_said_leaves_nothing_to_keep",
    "test_another_sound_under_a_kept_recordings_name_replaces_nothing",
    "test_foreign_files_are_left_alone_and_a_person_is_told_until_they_are_gone",
    "test_two_processes_that_share_a_spool_store_everything_once",
    "test_what_does_not_come_is_missed",
]
