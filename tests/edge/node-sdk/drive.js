// Drives the management API with the official Node SDK and prints what it saw as JSON.
const { default: Client, ...fc } = require("@alicloud/fc20230330");
const { $OpenApiUtil } = require("@alicloud/openapi-core");
const { Readable } = require("stream");

async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts.map(Buffer.from)).toString();
}

async function refusal(call) {
  try {
    await call;
  } catch (error) {
    return { code: error.code, status: error.statusCode };
  }
  throw new Error("the call was not refused");
}

async function main() {
  const given = JSON.parse(await text(process.stdin));
  const config = (secret) => new $OpenApiUtil.Config({
    accessKeyId: given.accessKeyId, accessKeySecret: secret, endpoint: given.endpoint, protocol: "http",
    regionId: "cn-hangzhou",
  });
  const client = new Client(config(given.accessKeySecret));
  const stranger = new Client(config("guess"));
  const seen = {};

  const made = await client.createFunction(new fc.CreateFunctionRequest({ body: new fc.CreateFunctionInput({
    functionName: "echo", runtime: "custom.debian12", timeout: 600,
    code: new fc.InputCodeLocation({ zipFile: given.zip }), idleTimeout: 3600,
  }) }));
  seen.created = { functionName: made.body.functionName, timeout: made.body.timeout };
  const trigger = await client.createTrigger("echo", new fc.CreateTriggerRequest({ body: new fc.CreateTriggerInput({
    triggerName: "t", triggerType: "http", triggerConfig: JSON.stringify({ authType: "anonymous", methods: ["GET"] }),
  }) }));
  seen.url = trigger.body.httpTrigger.urlInternet;
  const functions = await client.listFunctions(new fc.ListFunctionsRequest({ prefix: "e", limit: 10 }));
  seen.listed = functions.body.functions.map((f) => f.functionName);
  const updated = await client.updateFunction("echo", new fc.UpdateFunctionRequest({
    body: new fc.UpdateFunctionInput({ timeout: 7, idleTimeout: 300 }) }));
  seen.updated = [updated.body.timeout, updated.body.idleTimeout];
  const idle = await client.getFunction("echo", new fc.GetFunctionRequest({}));
  seen.idleTimeout = [made.body.idleTimeout, idle.body.idleTimeout, await refusal(
    client.updateFunction("echo", new fc.UpdateFunctionRequest({
      body: new fc.UpdateFunctionInput({ idleTimeout: 100 }) })))];
  const version = await client.publishFunctionVersion("echo", new fc.PublishFunctionVersionRequest({
    body: new fc.PublishVersionInput({ description: "one" }) }));
  seen.version = version.body.versionId;
  await client.createAlias("echo", new fc.CreateAliasRequest({
    body: new fc.CreateAliasInput({ aliasName: "prod", versionId: "1" }) }));
  seen.weights = (await client.getAlias("echo", "prod")).body.additionalVersionWeight;
  await client.createCustomDomain(new fc.CreateCustomDomainRequest({
    body: new fc.CreateCustomDomainInput({ domainName: "*.example.com", protocol: "HTTP" }) }));
  seen.domain = (await client.getCustomDomain("*.example.com")).body.domainName;
  await client.createFunction(new fc.CreateFunctionRequest({ body: new fc.CreateFunctionInput({
    functionName: "sessions", runtime: "custom.debian12", code: new fc.InputCodeLocation({ zipFile: given.zip }),
    sessionAffinity: "HEADER_FIELD", sessionAffinityConfig: JSON.stringify({ affinityHeaderFieldName: "x-session" }),
  }) }));
  const createSession = (given) => client.createSession("sessions", new fc.CreateSessionRequest({
    body: new fc.CreateSessionInput(given) }));
  const session = (await createSession({ sessionId: "s-1", sessionTTLInSeconds: 60 })).body;
  const unnamed = (await createSession({})).body;
  const listed = async (given) => (await client.listSessions("sessions", new fc.ListSessionsRequest(given)))
    .body.sessions.map((s) => s.sessionId);
  const extended = await client.updateSession("sessions", "s-1", new fc.UpdateSessionRequest({
    body: new fc.UpdateSessionInput({ sessionTTLInSeconds: 90 }) }));
  const one = await client.getSession("sessions", "s-1", new fc.GetSessionRequest({}));
  seen.session = {
    ttl: [session.sessionTTLInSeconds, extended.body.sessionTTLInSeconds, unnamed.sessionTTLInSeconds],
    status: one.body.sessionStatus, qualifier: one.body.qualifier, type: one.body.sessionAffinityType,
    listed: (await listed({})).length, active: await listed({ sessionStatus: "Active", sessionId: "s-1" }),
    expired: await listed({ sessionStatus: "Expired" }),
    again: await refusal(createSession({ sessionId: "s-1" })),
    deleted: (await client.deleteSession("sessions", "s-1", new fc.DeleteSessionRequest({}))).statusCode,
    gone: await refusal(client.getSession("sessions", "s-1", new fc.GetSessionRequest({}))),
    plain: await refusal(client.createSession("echo", new fc.CreateSessionRequest({
      body: new fc.CreateSessionInput({}) }))),
  };
  seen.regions = (await client.describeRegions(new fc.DescribeRegionsRequest({}))).body.regions.region.map(
    (r) => r.regionId);
  await client.deleteFunction("sessions");
  seen.missing = await refusal(client.getFunction("no", new fc.GetFunctionRequest({})));
  seen.unsigned = await refusal(stranger.getFunction("echo", new fc.GetFunctionRequest({})));
  seen.notImplemented = await refusal(client.listLayers(new fc.ListLayersRequest({})));
  const invoked = await client.invokeFunction("echo", new fc.InvokeFunctionRequest({
    body: Readable.from([Buffer.from("in".repeat(100000))]) }));
  seen.invoked = await text(invoked.body);
  const instances = await client.listInstances("echo", new fc.ListInstancesRequest({ withAllActive: true }));
  seen.instances = instances.body.instances;
  seen.deleted = [(await client.deleteTrigger("echo", "t")).statusCode, (await client.deleteFunction("echo")).statusCode];
  console.log(JSON.stringify(seen));
}

main().catch((error) => { console.error(error); process.exit(1); });
