-- Forgets some of what nobody asks for any more.
-- ARGV: an id for an empty store, the first day to be kept, now, the moment before which deletions
-- are forgotten, how many of each kind.
-- Answers whether there is more, and the digests of secrets past their end with their keys' ids.
local meta = open_store(ARGV[1])
if meta.err then
    return meta
end
local day, now, gone_before, most = tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local more = 0

for _, name in ipairs(redis.call('ZRANGEBYSCORE', base .. 'usage-days', '-inf', day - 1, 'LIMIT', 0, most)) do
    redis.call('UNLINK', base .. 'usage:' .. name)
    redis.call('ZREM', base .. 'usage-days', name)
    more = 1
end
for _, plan in ipairs(redis.call('SMEMBERS', base .. 'usage-plans')) do
    local last = base .. 'usage-last:' .. plan
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', last, '-inf', day - 1, 'LIMIT', 0, most)) do
        redis.call('ZREM', last, key)
        redis.call('ZREM', base .. 'usage-keys:' .. plan, key)
        more = 1
    end
    if redis.call('EXISTS', last) == 0 then
        redis.call('SREM', base .. 'usage-plans', plan)
    end
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', base .. 'quotas', '-inf', now, 'LIMIT', 0, most)) do
    redis.call('UNLINK', base .. 'quota:' .. name, base .. 'extra:' .. name)
    redis.call('ZREM', base .. 'quotas', name)
    more = 1
end
for _, token in ipairs(redis.call('ZRANGEBYSCORE', base .. 'token-ends', '-inf', now, 'LIMIT', 0, most)) do
    redis.call('HDEL', base .. 'tokens', token)
    redis.call('ZREM', base .. 'token-ends', token)
    more = 1
end
-- Who knows an older revision than the newest deletion that is forgotten here must load anew.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', base .. 'gone', '-inf', gone_before, 'LIMIT', 0, most)) do
    local revision = redis.call('ZSCORE', base .. 'changes', name)
    if revision and tonumber(revision) > tonumber(redis.call('HGET', KEYS[1], 'floor')) then
        redis.call('HSET', KEYS[1], 'floor', revision)
    end
    redis.call('ZREM', base .. 'changes', name)
    redis.call('ZREM', base .. 'gone', name)
    more = 1
end
local secrets = {}
for _, digest in ipairs(redis.call('ZRANGEBYSCORE', base .. 'secret-ends', '-inf', now, 'LIMIT', 0, most)) do
    secrets[#secrets + 1] = redis.call('HGET', base .. 'digests', digest)
end
return { more, secrets }
