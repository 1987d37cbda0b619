/** The typed client of our API; the types are generated from docs/reference/openapi.json. */

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.gen";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];

export const client = createClient<paths>({ baseUrl: location.origin });

/** The API answered with a problem, or did not answer (`code` is then `unreachable`). */
export class ProblemError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem.title, options);
    this.problem = problem;
  }

  /** Whether asking again may help by itself. */
  get temporary(): boolean {
    return this.problem.status === 0 || this.problem.status >= 500;
  }
}

function made(code: string, status: number, requestId: string): Problem {
  return {
    type: "about:blank",
    title: "",
    status,
    detail: "",
    instance: "",
    code,
    request_id: requestId,
    errors: [],
  };
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && "title" in body;
}

/** The data of an answer. Throws `ProblemError`. */
export async function dataOf<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  let answer: Awaited<typeof call>;
  try {
    answer = await call;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ProblemError(made("unreachable", 0, ""), { cause });
  }
  const { data, error, response } = answer;
  if (response.ok && data !== undefined) return data;
  if (isProblem(error)) throw new ProblemError(error);
  const requestId = response.headers.get("x-request-id") ?? "";
  throw new ProblemError(made("unexpected", response.status, requestId));
}
