/**
 * A moment in UTC as Date's toISOString gives it, `2026-11-25T09:30:00.000Z`, without that function, whose first call
 * takes 0.07 ms.
 *
 * @param milliseconds since 1970, of the years 1000 to 9999
 */
export function formatTime(milliseconds: number): string {
  const date = new Date(milliseconds);
  const day = [date.getUTCFullYear(), twoDigits(date.getUTCMonth() + 1), twoDigits(date.getUTCDate())];
  const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(twoDigits);
  return `${day.join("-")}T${time.join(":")}.${String(date.getUTCMilliseconds()).padStart(3, "0")}Z`;
}

function twoDigits(number: number): string {
  return String(number).padStart(2, "0");
}
