-- As before, and knows the alarms of a log that stopped: nobody ends those by hand, the log may not be gone on with unseen.
CREATE OR REPLACE FUNCTION end_alarm(p_id bigint, p_actor text, p_reason text, p_at timestamptz) RETURNS text
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
  IF v_alarm.kind LIKE 'log.%' THEN
    RETURN v_alarm.kind || ', which ends once the log goes on';
  END IF;
  IF v_alarm.kind NOT LIKE 'topic.%' THEN
    RETURN v_alarm.kind || ', which ends with its anchor';
  END IF;
  UPDATE alarms SET ended_at = p_at WHERE id = p_id;
  PERFORM append_audit(p_at, p_actor, NULL, 'alarm.ended', v_alarm.subject, jsonb_build_object('alarm', p_id::text, 'kind', v_alarm.kind, 'reason', p_reason));
  RETURN 'ended';
END $$;
