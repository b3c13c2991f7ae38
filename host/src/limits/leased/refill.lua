-- Settles what one gateway used, and grants what it asks for.
-- ARGV: the gateway's id, the number of its call, the server's process, the memory that the gateway
-- told all that it knows (or nothing), how long a lease lasts (milliseconds), then each bound:
--   Q name owner spent back held need least want limit total memory ends_ms
--   R name owner spent back held need least want burst per_second
-- `owner` is how the gateway finds the bound again. `total` is the last total that the gateway saw, and
-- `memory` where it saw it; or nothing.
-- Answers how many gateways there are, for each bound what was paid for waiting requests, what was
-- leased in advance, what is still leased of what the gateway held, what is left, what other gateways
-- hold, how long to wait for one more (milliseconds), the total, the extension and whether the budget
-- can tell; the owners of what other gateways wait for; and the memory.
local base = string.sub(KEYS[1], 1, -5)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gateway, number, told = ARGV[1], ARGV[2], ARGV[4]
local ends_at = now + tonumber(ARGV[5])

-- A memory is what one process of the server remembers from one mark on: the mark is gone once the
-- server is emptied, with or without a restart.
local mark = redis.call('GET', base .. 'mark')
if not mark then
    mark = time[1] .. '.' .. time[2] .. '.' .. gateway
    redis.call('SET', base .. 'mark', mark)
end
local memory = ARGV[3] .. ' ' .. mark

-- Another memory may lack what was used: nothing is granted of quotas until all gateways that it
-- holds said what they know, or had the time to.
local settling, silent = base .. 'settling', base .. 'silent'
local until_ms = tonumber(redis.call('HGET', settling, 'until') or 0)
if told ~= memory and told ~= '' then
    -- A memory may come back: of two servers that take turns, each has its own.
    if redis.call('HGET', settling, 'memory') ~= memory or until_ms <= now then
        until_ms = now + 1000
        redis.call('HSET', settling, 'memory', memory, 'until', until_ms)
        redis.call('DEL', silent)
        local members = redis.call('ZRANGE', base .. 'gateways', 0, -1)
        -- A server that does not know this one has forgotten: then nobody knows who is to speak.
        redis.call('SADD', silent, redis.call('ZSCORE', base .. 'gateways', gateway) and gateway or '?')
        for _, member in ipairs(members) do
            redis.call('SADD', silent, member)
        end
        redis.call('PEXPIRE', silent, 60000)
    end
elseif told == memory then
    redis.call('SREM', silent, gateway)
end
local is_settled = until_ms <= now
    or redis.call('HGET', settling, 'memory') ~= memory
    or redis.call('EXISTS', silent) == 0
-- What was used since is not in what gateways saw before.
local epoch = memory .. ' ' .. string.format('%.0f', until_ms)

redis.call('ZADD', base .. 'gateways', now, gateway)
redis.call('ZREMRANGEBYSCORE', base .. 'gateways', '-inf', now - 3000)
local gateways = redis.call('ZCARD', base .. 'gateways')

-- A call whose answer was lost comes again with its number: it is answered again, and not carried out
-- again.
local answered = base .. 'answer:' .. gateway
local kept = redis.call('HMGET', answered, 'number', 'answers')
if kept[1] == number then
    return { gateways, cmsgpack.unpack(kept[2]), {}, memory }
end

local recalls = base .. 'recall:' .. gateway
local recalled = redis.call('SMEMBERS', recalls)
if #recalled > 0 then
    redis.call('DEL', recalls)
end

-- A budget: its fields, this gateway's lease, those of others, what others hold, and what leases that
-- have ended held.
local function read(key)
    local flat = redis.call('HGETALL', key)
    local budget = { fields = {}, mine = 0, leases = {}, others = 0, ended = 0 }
    for i = 1, #flat, 2 do
        local id = string.match(flat[i], '^lease:(.*)$')
        if id then
            local amount, ends, owner = string.match(flat[i + 1], '^(%d+) (%d+) (.*)$')
            amount = tonumber(amount)
            if tonumber(ends) <= now then
                budget.ended = budget.ended + amount
                redis.call('HDEL', key, flat[i])
            elseif id == gateway then
                budget.mine = amount
            else
                budget.leases[id] = owner
                budget.others = budget.others + amount
            end
        else
            budget.fields[flat[i]] = flat[i + 1]
        end
    end
    return budget
end

local function whole(amount)
    return string.format('%.0f', amount)
end

local function lease(key, amount, owner)
    if amount > 0 then
        local text = whole(amount) .. ' ' .. whole(ends_at) .. ' ' .. owner
        redis.call('HSET', key, 'lease:' .. gateway, text)
    else
        redis.call('HDEL', key, 'lease:' .. gateway)
    end
end

local function recall(leases)
    for id, owner in pairs(leases) do
        redis.call('SADD', base .. 'recall:' .. id, owner)
        redis.call('PEXPIRE', base .. 'recall:' .. id, 10000)
    end
end

-- What waiting requests get, what is leased in advance, and what is left after both.
local function grant(order, left)
    local paid, leased = 0, 0
    if order.need > 0 and left >= 1 and left >= order.least then
        paid = math.min(order.need, math.floor(left))
        left = left - paid
    end
    if order.want > 0 and left >= 1 then
        leased = math.min(order.want, math.floor(left), math.max(1, math.floor(left / (2 * gateways))))
        left = left - leased
    end
    return paid, leased, left
end

local function quota(order, limit, seen, ends)
    local key = base .. 'budget:' .. order.name
    local budget = read(key)
    local fields = budget.fields
    local from, used, extra = tonumber(fields.base or 0), tonumber(fields.used or 0), tonumber(fields.extra or 0)
    if fields.epoch ~= epoch then
        from, used = from + used, 0
    end
    -- What was seen in another memory may be more than this one holds.
    if seen.memory ~= '' and seen.memory ~= memory then
        from = math.max(from, seen.total)
    end
    used = math.max(used + order.spent - order.back, -from)
    local held = math.min(order.held, budget.mine)
    local left = limit + extra - from - used - budget.others - held
    local paid, leased = 0, 0
    if is_settled then
        paid, leased, left = grant(order, left)
    end
    used = used + paid
    redis.call('HSET', key, 'epoch', epoch, 'base', from, 'used', used)
    lease(key, held + leased, order.owner)
    redis.call('PEXPIREAT', key, ends)
    if is_settled and paid < order.need then
        recall(budget.leases)
    end
    local wait = is_settled and 1000 or math.ceil(until_ms - now)
    return { paid, leased, held, math.max(left, 0), budget.others, wait, from + used, extra, is_settled and 1 or 0 }
end

local function rate(order, burst, per_second)
    local key = base .. 'bucket:' .. order.name
    local budget = read(key)
    local fields = budget.fields
    local tokens, at = tonumber(fields.tokens or burst), tonumber(fields.at or now)
    local held = math.min(order.held, budget.mine)
    local came = math.max(now - at, 0) / 1000 * per_second
    tokens = tokens + came + budget.ended + budget.mine - held - order.spent + order.back
    -- What is leased and not used is still in the bucket.
    tokens = math.min(burst - budget.others - held, tokens)
    -- However much was used while nobody could ask, it is paid for within a few fillings.
    tokens = math.max(tokens, -burst * gateways)
    local paid, leased
    paid, leased, tokens = grant(order, tokens)
    local full = (burst - tokens) / per_second * 1000
    redis.call('HSET', key, 'tokens', tokens, 'at', math.max(at, now))
    lease(key, held + leased, order.owner)
    redis.call('PEXPIRE', key, whole(math.min(full + 60000, 4e15)))
    if paid < order.need then
        recall(budget.leases)
    end
    local one_more = math.floor(math.max(tokens, 0)) + 1
    local wait = math.ceil((one_more - tokens) / per_second * 1000)
    return { paid, leased, held, one_more - 1, budget.others, math.min(wait, 4e15), 0, 0, 1 }
end

local answers = {}
local at = 6
while at <= #ARGV do
    local order = {
        name = ARGV[at + 1],
        owner = ARGV[at + 2],
        spent = tonumber(ARGV[at + 3]),
        back = tonumber(ARGV[at + 4]),
        held = tonumber(ARGV[at + 5]),
        need = tonumber(ARGV[at + 6]),
        least = tonumber(ARGV[at + 7]),
        want = tonumber(ARGV[at + 8]),
    }
    local most = tonumber(ARGV[at + 9])
    if ARGV[at] == 'Q' then
        local seen = { total = tonumber(ARGV[at + 10]), memory = ARGV[at + 11] }
        answers[#answers + 1] = quota(order, most, seen, ARGV[at + 12])
        at = at + 13
    else
        answers[#answers + 1] = rate(order, most, tonumber(ARGV[at + 10]))
        at = at + 11
    end
end
if #answers > 0 then
    redis.call('HSET', answered, 'number', number, 'answers', cmsgpack.pack(answers))
    redis.call('PEXPIRE', answered, 3600000)
end
return { gateways, answers, recalled, memory }
