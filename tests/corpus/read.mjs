// What an agent in Node reads: one body in base64 a line, one answer in JSON a line.
import { readFileSync } from 'node:fs';

const member = (value, ...names) => {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return undefined;
  const name = names.find((name) => Object.hasOwn(value, name));
  return name === undefined ? undefined : value[name];
};
const text = (value) => (typeof value === 'string' ? value.toWellFormed() : null);

const read = (body) => {
  let request;
  try {
    request = JSON.parse(body.toString('utf8'));
  } catch {
    return null;
  }
  const params = member(request, 'params');
  const parts = member(member(params, 'message'), 'parts');
  const push = member(
    member(params, 'configuration'),
    'taskPushNotificationConfig',
    'task_push_notification_config',
    'pushNotificationConfig',
    'push_notification_config',
  );
  return {
    method: text(member(request, 'method')),
    parts: Array.isArray(parts) ? parts.length : 0,
    url: text(member(push, 'url')),
  };
};

const lines = readFileSync(0, 'utf8').split('\n').slice(0, -1);
process.stdout.write(lines.map((line) => `${JSON.stringify(read(Buffer.from(line, 'base64')))}\n`).join(''));
