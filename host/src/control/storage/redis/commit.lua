-- One commit: everything is checked in the order given, then everything is written in it.
-- ARGV: an id for an empty store, then each write:
--   K id expect json | k id expect | P name expect json | p name expect | R token until request key
-- Answers `ok revision`, or `key id`, `plan name`, `digest id owner`, `token`.
local meta = open_store(ARGV[1])
if meta.err then
    return meta
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local writes, met, owners = {}, {}, {}

local function owner_of(digest)
    local owner = owners[digest]
    if owner == nil then
        owner = redis.call('HGET', base .. 'digests', digest)
        owners[digest] = owner
    end
    return owner
end

local at = 2
while at <= #ARGV do
    local write = { kind = ARGV[at], name = ARGV[at + 1] }
    if write.kind == 'R' then
        write.till, write.request, write.key = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
        local kept = redis.call('HGET', base .. 'tokens', write.name)
        local known = kept and tonumber(string.match(kept, '^%d+')) > now
        if known or met['R' .. write.name] then
            return { 'token' }
        end
        met['R' .. write.name] = true
        at = at + 5
    else
        local put = write.kind == 'K' or write.kind == 'P'
        local of_key = write.kind == 'K' or write.kind == 'k'
        local kind = of_key and 'key' or 'plan'
        local old = redis.call('HGET', base .. kind .. 's', write.name)
        if met[kind .. write.name] or revision_of(old) ~= ARGV[at + 2] then
            return { kind, write.name }
        end
        met[kind .. write.name] = true
        write.json = put and ARGV[at + 3]
        if of_key then
            write.old = old and record_of(old)
            write.new = put and cjson.decode(write.json)
            if put and #write.new.secrets == 0 then
                -- Nobody could present it.
                return { 'key', write.name }
            end
            for _, secret in ipairs(write.old and write.old.secrets or {}) do
                owners[secret.digest] = false
            end
            for _, secret in ipairs(write.new and write.new.secrets or {}) do
                local owner = owner_of(secret.digest)
                if owner and owner ~= write.name then
                    return { 'digest', write.name, owner }
                end
                owners[secret.digest] = write.name
            end
        end
        at = at + (put and 4 or 3)
    end
    writes[#writes + 1] = write
end
if #writes == 0 then
    return { 'ok', meta.revision }
end

local revision = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'revision', 1))

local function note(name, gone)
    redis.call('ZADD', base .. 'changes', revision, name)
    if gone then
        redis.call('ZADD', base .. 'gone', string.format('%.0f', now), name)
    else
        redis.call('ZREM', base .. 'gone', name)
    end
end

for _, write in ipairs(writes) do
    local name, old = write.name, write.old
    if old then
        for _, secret in ipairs(old.secrets) do
            redis.call('HDEL', base .. 'digests', secret.digest)
            redis.call('ZREM', base .. 'secret-ends', secret.digest)
        end
        redis.call('ZREM', base .. 'of-consumer:' .. old.consumer, name)
        for _, plan in ipairs(old.plans) do
            redis.call('ZREM', base .. 'of-plan:' .. plan, name)
        end
    end
    if write.kind == 'K' then
        redis.call('HSET', base .. 'keys', name, revision .. ' ' .. write.json)
        redis.call('ZADD', base .. 'key-ids', 0, name)
        for _, secret in ipairs(write.new.secrets) do
            redis.call('HSET', base .. 'digests', secret.digest, name)
            if type(secret.expires_ms) == 'number' then
                redis.call('ZADD', base .. 'secret-ends', secret.expires_ms, secret.digest)
            end
        end
        redis.call('ZADD', base .. 'of-consumer:' .. write.new.consumer, 0, name)
        for _, plan in ipairs(write.new.plans) do
            redis.call('ZADD', base .. 'of-plan:' .. plan, 0, name)
        end
        note('k' .. name, false)
    elseif write.kind == 'k' then
        redis.call('HDEL', base .. 'keys', name)
        redis.call('ZREM', base .. 'key-ids', name)
        redis.call('HDEL', base .. 'last-used', name)
        note('k' .. name, true)
    elseif write.kind == 'P' then
        redis.call('HSET', base .. 'plans', name, revision .. ' ' .. write.json)
        note('p' .. name, false)
    elseif write.kind == 'p' then
        redis.call('HDEL', base .. 'plans', name)
        note('p' .. name, true)
    else
        local kept = write.till .. ' ' .. write.request .. ' ' .. write.key
        redis.call('HSET', base .. 'tokens', name, kept)
        redis.call('ZADD', base .. 'token-ends', write.till, name)
    end
end
return { 'ok', revision }
