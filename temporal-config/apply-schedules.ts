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
    const made = await createSchedules(client, workflowQueue, declared);
    for (const schedule of declared)
      if (!made.includes(schedule.id)) await updateSchedule(client, schedule, workflowQueue);
    return made;
  } finally {
    await connection.close();
  }
}

/**
 * Gives a namespace the declared schedules that it lacks, and leaves those that it has as they are: what brings them back
 * once Temporal's database was lost. Returns the ids that were new. Key (id).
 */
export async function createSchedules(
  client: Client,
  workflowQueue: string,
  declared: readonly DeclaredSchedule[] = readSchedules(),
): Promise<readonly string[]> {
  const made: string[] = [];
  for (const schedule of declared) {
    try {
      await client.schedule.create(optionsOf(schedule, workflowQueue));
      made.push(schedule.id);
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    }
  }
  return made;
}

async function updateSchedule(client: Client, declared: DeclaredSchedule, workflowQueue: string): Promise<void> {
  const { action, spec, policies } = optionsOf(declared, workflowQueue);
  await client.schedule.getHandle(declared.id).update(({ state }) => ({
    action,
    spec,
    ...(policies && { policies }),
    state: { paused: state.paused, ...(state.note !== undefined && { note: state.note }) },
  }));
}

function optionsOf(declared: DeclaredSchedule, taskQueue: string): ScheduleOptions {
  return {
    scheduleId: declared.id,
    spec: { intervals: [{ every: declared.everyMs, offset: declared.offsetMs }] },
    action: { type: 'startWorkflow', workflowType: declared.workflow, workflowId: declared.id, taskQueue, args: [{}] },
    policies: { overlap: declared.overlap, catchupWindow: declared.catchupWindowMs },
  };
}
