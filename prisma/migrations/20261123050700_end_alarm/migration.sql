-- A person looked at what the walk along a topic found. Outcome: `ended`, `unknown`, `over`, or the kind that ends otherwise.
CREATE FUNCTION end_alarm(p_id bigint, p_actor text, p_reason text, p_at timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
  v_alarm alarms;
BEGIN
  SELECT * INTO v_alarm FROM alarms WHERE id = p_id FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'unknown';
  END IF;
  IF v_alarm.ended_at IS NOT NULL THEN
    RETURN 'over';
  END IF;
  IF v_alarm.kind NOT LIKE 'topic.%' THEN
    RETURN v_alarm.kind || ', which ends with its anchor';
  END IF;
  UPDATE alarms SET ended_at = p_at WHERE id = p_id;
  PERFORM append_audit(p_at, p_actor, NULL, 'alarm.ended', v_alarm.subject, jsonb_build_object('alarm', p_id::text, 'kind', v_alarm.kind, 'reason', p_reason));
  RETURN 'ended';
END $$;
REVOKE ALL ON FUNCTION end_alarm(bigint, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION end_alarm(bigint, text, text, timestamptz) TO proofline_api;
CREATE INDEX alarms_subject ON alarms (subject);
