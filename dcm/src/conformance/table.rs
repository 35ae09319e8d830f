//! The list of cases: the only one there is.

/// Hands every case of the conformance suite to the macro `callback`, by module, with the operations it covers:
/// `module { case: operation operation…; … }`.
#[macro_export]
macro_rules! for_each_conformance_case {
    ($callback:ident) => {
        $callback! {
            system {
                health_is_healthy: health;
                stats_count_rows: stats;
                tools_summary_is_kept: tools_summary;
                cleanup_stats_count_messages: cleanup_stats;
                tokens_are_signed: auth_token;
            }
            projects {
                upsert_keeps_what_is_not_given: project_upsert project_get;
                upsert_has_plain_defaults: project_upsert;
                metadata_survives_unchanged: project_upsert project_get;
                trailing_slashes_are_stripped: project_upsert project_by_path;
                paths_are_taken_literally: project_upsert project_by_path;
                list_is_latest_touched_first: project_list;
                list_limits: project_list;
                detail_holds_newest_requests_and_numbers: project_get;
                delete_cascades_and_frees_sessions: project_delete;
                unknown_projects_are_404: project_get project_delete project_by_path;
                bad_input_names_the_field: project_upsert project_by_path;
            }
            requests {
                create_has_plain_defaults: request_create request_get;
                create_keeps_every_field: request_create request_get;
                long_prompts_are_kept_whole: request_create request_get;
                unknown_project_is_404: request_create;
                filters_combine: request_list;
                list_pages: request_list;
                detail_holds_tasks_by_wave: request_get;
                update_applies_every_field: request_update;
                update_needs_a_field_and_a_request: request_update request_get request_delete;
                delete_cascades: request_delete;
                bad_input_names_the_field: request_create;
            }
            tasks {
                waves_count_up: task_create;
                the_last_wave_has_none_after_it: task_create;
                create_keeps_every_field: task_create task_get;
                list_by_request_and_status: task_list;
                list_is_newest_first_without_request: task_list;
                detail_holds_subtasks_in_order: task_get;
                update_applies_every_field: task_update;
                unknown_tasks_are_404: task_create task_get task_update task_delete;
                delete_cascades: task_delete;
                bad_input_names_the_field: task_create task_update;
            }
            subtasks {
                create_has_plain_defaults: subtask_create subtask_get;
                create_keeps_every_field: subtask_create subtask_get;
                unknown_parents_and_blockers_are_refused: subtask_create subtask_update;
                filters_combine: subtask_list;
                update_applies_every_field: subtask_update;
                update_keeps_what_is_not_given: subtask_update;
                times_follow_the_status: subtask_update;
                update_needs_a_field: subtask_update;
                detail_holds_actions_in_order: subtask_get;
                delete_removes_its_actions: subtask_delete;
                unknown_subtasks_are_404: subtask_get subtask_update subtask_delete;
                bad_input_names_the_field: subtask_create;
            }
            rollup {
                the_last_child_completes_its_parents: subtask_update task_get request_get;
                a_request_waits_for_every_task: subtask_update task_get request_get;
                a_failed_child_fails_its_parents: subtask_update task_get request_get;
                a_mended_failure_is_forgotten: subtask_update task_get request_get;
                a_task_without_subtasks_ends_its_request: task_update request_get;
                an_explicit_status_wins_until_a_child_changes: subtask_update task_update request_update;
                a_new_child_reopens_its_parents: subtask_create task_create request_update;
                a_cancelled_request_stays_cancelled: subtask_create task_create request_update;
            }
            actions {
                record_answers_what_was_recorded: action_record action_list;
                long_texts_are_taken: action_record;
                record_creates_session_and_project_and_counts: action_record session_get project_by_path;
                an_action_of_a_subtask_makes_its_session: action_record session_get;
                counters_go_on_from_what_is_there: action_record session_create session_get;
                session_and_project_are_optional: action_record action_list;
                at_most_ten_words_are_learned: action_record;
                unknown_subtask_is_refused: action_record;
                filters_combine_and_pages_have_a_total: action_list;
                hourly_counts_by_hour: action_hourly;
                delete_removes_one: action_delete;
                delete_by_session_counts: action_delete_by_session;
                bad_input_names_the_field: action_record;
            }
            routing {
                scores_move_with_outcomes: routing_suggest action_record;
                a_first_failure_is_no_success: routing_suggest action_record;
                every_word_learns: routing_suggest action_record;
                feedback_moves_scores: routing_feedback routing_suggest;
                scores_are_clamped: routing_feedback routing_suggest;
                min_score_filters: routing_suggest;
                better_matches_come_first: routing_suggest;
                tool_type_filters: routing_suggest;
                suggestions_are_limited: routing_suggest;
                suggestions_say_why: routing_suggest;
                prompts_are_understood: routing_suggest;
                what_was_right_long_ago_counts_little: routing_suggest ingest;
                stats_are_ordered: routing_stats;
                bad_input_says_what_is_missing: routing_suggest routing_feedback;
            }
            hierarchy {
                the_whole_tree_in_order: hierarchy_get;
                subtasks_by_creation_not_by_arrival: hierarchy_get;
                numbers_count_each_row_once: hierarchy_get;
                empty_and_unknown_projects: hierarchy_get;
                results_show_in_the_tree: hierarchy_get;
                active_agents_are_open_subtasks: active_agents;
            }
            sessions {
                create_has_plain_defaults: session_create session_get;
                create_keeps_every_field: session_create session_get;
                duplicates_are_a_conflict: session_create;
                automatic_sessions_can_be_created_once: session_create action_record;
                actions_of_subtasks_count_in_their_session: action_record session_get;
                unknown_project_is_refused: session_create;
                list_filters_and_counts: session_list;
                detail_holds_newest_requests: session_get;
                update_replaces_counters: session_update;
                update_needs_a_session_and_a_field: session_update session_get;
                delete_leaves_requests: session_delete;
                stats_are_consistent: session_stats;
                bad_input_names_the_field: session_create session_update;
            }
            messages {
                send_answers_what_was_sent: message_send;
                every_topic_can_be_sent: message_send message_inbox;
                content_is_an_object_or_a_text: message_send message_inbox;
                unknown_recipients_are_accepted_and_reported: message_send message_inbox;
                inbox_is_by_priority_then_age: message_inbox;
                mail_is_for_its_recipient: message_inbox;
                broadcasts_can_be_left_out: message_inbox;
                topic_and_since_narrow: message_inbox;
                the_monitor_marks_nothing: message_inbox;
                list_marks_nothing: message_list message_inbox;
                unknown_project_is_404: message_send;
                mail_to_a_kind_reaches_who_is_at_work: message_inbox subtask_create;
                bad_input_names_the_field: message_send message_inbox;
            }
            subscriptions {
                subscribe_is_an_upsert: subscribe subscriptions_of_agent;
                of_an_agent_by_topic: subscriptions_of_agent;
                list_filters_combine: subscription_list;
                unsubscribing_removes_once: subscription_delete unsubscribe;
                bad_input_names_the_field: subscribe unsubscribe;
            }
            blocking {
                block_is_an_upsert: block blocking_get;
                both_sides_are_told: blocking_get;
                check_has_a_direction: blocking_check;
                unblocking_removes_once: blocking_delete unblock;
                bad_input_names_the_field: block;
            }
            context {
                no_session_is_an_answer: context_get;
                the_session_is_found_by_the_agent: context_get;
                a_brief_names_the_current_task: context_get;
                raw_data_is_complete: context_get;
                a_context_belongs_to_its_session: context_get;
                only_what_is_open_is_waited_for: context_get subtask_update;
                work_for_a_kind_is_found_among_much: context_get;
                a_session_has_its_project_before_any_request: context_get message_send;
                messages_stay_unread: context_get context_generate message_inbox;
                mail_is_that_of_the_kind_and_the_project: context_get;
                own_broadcasts_are_no_mail: context_get message_send;
                a_brief_never_exceeds_its_budget: context_get context_generate;
                a_small_context_fits: context_get;
                agent_types_are_inferred: context_get context_generate;
                generate_answers_a_brief: context_generate;
                bad_input_names_the_field: context_get context_generate;
            }
            briefs {
                each_agent_has_its_own_compactions: compact_save compact_snapshot compact_restore context_get;
                a_recorded_kind_counts: context_get compact_restore;
                what_ended_last_is_told: context_get subtask_update;
                what_is_left_out_is_told: context_get;
                work_of_a_cancelled_request_is_not_open: context_get request_update subtask_update;
                a_main_agent_by_another_name_has_the_newest: compact_save compact_restore context_get;
                a_sub_agent_does_not_end_the_sessions_context: compact_save compact_restore ingest;
                blockings_are_those_of_the_project: context_get block;
                a_former_agent_may_be_blocked: context_get block message_send;
                mail_to_every_kind_is_told: context_get message_send;
                a_request_that_is_over_is_told: context_get request_update;
            }
            agent_contexts {
                work_leaves_a_context: agent_context_list agent_context_stats;
                what_is_saved_comes_back: compact_save compact_snapshot compact_restore compact_status;
                a_later_save_keeps_what_was_said: compact_save compact_snapshot compact_restore;
            }
            compact {
                restore_marks_the_session: compact_restore compact_status;
                unknown_sessions_are_not_marked: compact_restore compact_status;
                the_summary_is_part_of_the_budget: compact_restore;
                notices_do_not_show_in_briefs: compact_restore context_get;
                bad_input_names_the_field: compact_restore compact_status;
            }
            events {
                events_are_in_order_and_resumable: event_list;
                channels_have_their_own_events: event_list message_send auth_token;
                mail_to_a_type_reaches_agents_at_work: event_list message_send subtask_create auth_token;
                foreign_channels_are_refused: event_list auth_token;
                a_position_that_never_was_is_a_gap: event_list;
                none_are_listed_when_none_are_asked_for: event_list;
            }
            hooks {
                events_become_a_tree: hook;
                a_transcript_agrees_with_hooks: hook ingest;
                a_sub_agents_compaction_is_its_own: hook compact_snapshot compact_status;
                a_message_is_told_once: hook message_send receipts_get receipt_acknowledge;
                what_is_told_is_counted: hook session_get;
                unknown_messages_have_no_receipts: receipts_get receipt_acknowledge;
                bad_input_names_the_field: hook receipt_acknowledge;
            }
            ingest {
                a_session_becomes_a_tree: ingest;
                a_repeat_changes_nothing: ingest;
                a_repeat_leaves_later_prompts_alone: ingest;
                a_resumed_session_stays_open: ingest session_get;
                pieces_make_the_whole: ingest;
                a_repeat_completes_what_was_cut_off: ingest;
                late_outcomes_count_down_to_nothing: ingest session_update;
                a_prompt_is_open_until_the_turn_ends: ingest;
                a_request_waits_for_its_agents: ingest;
                failures_fail_the_request: ingest;
                unseen_agents_are_recorded: ingest;
                a_tool_before_its_prompt_is_kept: ingest;
                tools_belong_to_their_prompt: ingest;
                keys_belong_to_their_session: ingest;
                task_list_entries_are_subtasks: ingest;
                compactions_show_in_the_status: ingest compact_status;
                compactions_soon_after_each_other_are_two: ingest compact_status;
                the_project_stays_known: ingest;
                bad_observations_are_refused_whole: ingest;
            }
            outcomes {
                a_failure_that_is_told_late_is_mended_already: ingest context_get;
                a_call_without_an_answer_proves_nothing: ingest context_get routing_suggest;
            }
            races {
                waves_are_unique: task_create;
                project_upserts_merge: project_upsert;
                request_changes_merge: request_update;
                one_session_creation_wins: session_create;
                counters_and_scores_are_exact: action_record;
                feedback_adds_up: routing_feedback;
                siblings_that_end_together_roll_up: subtask_update;
                a_new_child_is_never_overlooked: subtask_create subtask_update;
                upserts_are_one_row: block subscribe;
                two_readers_lose_no_message: message_inbox;
                one_batch_ten_times_is_one_set_of_rows: ingest;
            }
            removals {
                a_removal_wins_or_loses_whole: project_delete;
                removed_actions_are_counted_once: action_delete_by_session action_record;
                what_is_observed_again_comes_back_whole: request_delete ingest;
            }
        }
    };
}
