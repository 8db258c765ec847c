import { Client, Connection, ScheduleAlreadyRunning, type ScheduleOptions } from '@temporalio/client';
import { type DeclaredSchedule, readSchedules } from './schedules.ts';

/**
 * Gives a namespace the declared schedules and makes those that it has as declared; whether one is paused stays. Returns
 * the ids that were new. Repeatable. `workflowQueue`: where their workflows run.
 */
export async function applySchedules(
  address: string,
  namespace: string,
  workflowQueue: string,
  declared: readonly DeclaredSchedule[] = readSchedules(),
): Promise<readonly string[]> {
  const connection = await Connection.connect({ address });
  try {
    const client = new Client({ connection, namespace });
    const made: string[] = [];
    for (const schedule of declared) if (await applySchedule(client, schedule, workflowQueue)) made.push(schedule.id);
    return made;
  } finally {
    await connection.close();
  }
}

async function applySchedule(client: Client, declared: DeclaredSchedule, taskQueue: string): Promise<boolean> {
  const options: ScheduleOptions = {
    scheduleId: declared.id,
    spec: { intervals: [{ every: declared.everyMs }] },
    action: { type: 'startWorkflow', workflowType: declared.workflow, workflowId: declared.id, taskQueue, args: [{}] },
    policies: { overlap: declared.overlap, catchupWindow: declared.catchupWindowMs },
  };
  try {
    await client.schedule.create(options);
    return true;
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
  const { action, spec, policies } = options;
  await client.schedule.getHandle(declared.id).update(({ state }) => ({
    action,
    spec,
    ...(policies && { policies }),
    state: { paused: state.paused, ...(state.note !== undefined && { note: state.note }) },
  }));
  return false;
}
