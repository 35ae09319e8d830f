\set tool random(1, 30)
\set took random(1, 5000)
\set session random(1, 50)
INSERT INTO actions (id, tool_name, tool_type, input, file_paths, exit_code, duration_ms, created_at, metadata, session_id) VALUES (gen_random_uuid(), 'tool-' || :tool, 'builtin', convert_to(:input, 'UTF8'), '{"/home/user/project/src/main.rs"}', 0, :took, now(), '{"source": "reference"}', 'session-' || :session);
